"""Speech to labels: wav files by a checkpoint trained with CTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from laimbench.deploy.clips import read_clip
from laimbench.deploy.fitting import expect_verb
from laimbench.models.decoding import ctc_greedy
from laimbench.train.checkpoint import Checkpoint

BATCH = 32


@dataclass(frozen=True)
class Transcript:
    """The labels heard in a clip, in their order; note: a line about what was done to it."""

    item: str
    labels: tuple[str, ...]
    note: str = ""


class Transcriber:
    """Hears labels by a checkpoint of family "audio" with transcripts.

    Raises:
        InputError: another family, or an audio model of classes.
    """

    def __init__(self, checkpoint: Checkpoint):
        expect_verb(checkpoint, "transcribe")
        self.model, self.facts = checkpoint.model, checkpoint.facts

    def transcribe(self, paths: Sequence[str]) -> list[Transcript]:
        """Return what is said in each wav file, by greedy decoding.

        Raises:
            InputError: a file that cannot be read.
        """
        said = []
        for first in range(0, len(paths), BATCH):
            batch = paths[first : first + BATCH]
            frames, notes = zip(*(read_clip(Path(path), self.facts) for path in batch), strict=True)
            lengths = torch.tensor([len(one) for one in frames])
            padded = torch.nn.utils.rnn.pad_sequence(list(map(torch.from_numpy, frames)), batch_first=True)
            for path, labels, note in zip(batch, ctc_greedy(self.model, padded, lengths), notes, strict=True):
                said.append(Transcript(path, tuple(self.facts["classes"][n - 1] for n in labels), note))
        return said
