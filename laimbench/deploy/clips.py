"""A wav file as an audio model reads it."""

from pathlib import Path
from typing import Any

import numpy as np

from laimbench.data.audio import frame_count, log_mel, read_wav
from laimbench.data.labelled import Unusable
from laimbench.errors import InputError


def read_clip(path: Path, facts: dict[str, Any]) -> tuple[np.ndarray, str]:
    """Return the log-mel frames (T, bands) that hold samples, and a note where the clip was cut to the model's seconds.

    Raises:
        InputError: no such file, or not a PCM wav file.
    """
    rate, most = facts["rate"], round(facts["seconds"] * facts["rate"])
    try:
        samples, length = read_wav(path, rate, most + 1)  # one more tells a clip that is too long
    except Unusable as error:
        raise InputError(f"{path}: {error if path.is_file() else 'no such file'}") from None
    kept = min(length, most)
    frames = log_mel(samples[None, :most].astype(np.float32) / np.float32(32768), rate, facts["bands"])[0]
    note = f"cut to its first {facts['seconds']:g} s" if length > most else ""
    return frames[: int(frame_count(np.array([kept]), rate)[0])], note
