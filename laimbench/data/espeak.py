"""The speech synthesiser espeak-ng, a command beside Python; and what any synthesiser must give."""

import io
import re
import subprocess
import wave
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from laimbench.errors import InputError

COMMAND = "espeak-ng"
INSTALL = (
    "install it: apt-get install espeak-ng (Debian, Ubuntu), dnf install espeak-ng (Fedora), brew install espeak-ng"
)
VARIANT = re.compile(r"!v/(.+?)(?:\s{2,}|\s*\(|\s*$)")  # names may hold single spaces
TIMEOUT_S = 60  # of a call, which takes 0.02


@dataclass(frozen=True)
class Utterance:
    """What is said and how: ``speed`` in words a minute, ``pitch`` 0 to 99."""

    text: str
    voice: str
    accent: str
    speed: int
    pitch: int


class Synthesiser(Protocol):
    """Says utterances, each always in the same way; may be called from several threads."""

    def version(self) -> str:
        """Return its name and version, for the record."""

    def voices(self) -> list[str]:
        """Return the names of its voices."""

    def say(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        """Return samples (T,) float64 in [-1, 1) and their rate in Hz."""


class Espeak:
    """espeak-ng, a formant synthesiser: a voice is one of its variants, an accent one of its kinds of English."""

    def version(self) -> str:
        return _call("--version").decode(errors="replace").split("Data at")[0].strip()

    def voices(self) -> list[str]:
        listed = _call("--voices=variant").decode(errors="replace").splitlines()
        return sorted({match[1] for line in listed if (match := VARIANT.search(line))})

    def say(self, utterance: Utterance) -> tuple[np.ndarray, int]:
        voice = f"{utterance.accent}+{utterance.voice}"
        content = _call("-v", voice, "-s", str(utterance.speed), "-p", str(utterance.pitch), "--stdout", utterance.text)
        try:
            with wave.open(io.BytesIO(content)) as stream:  # its header gives no true length: all there is, is read
                if stream.getnchannels() != 1 or stream.getsampwidth() != 2:
                    raise wave.Error("not one channel of 16 bits")
                samples = np.frombuffer(stream.readframes(stream.getnframes()), dtype="<i2")
                return samples / 32768.0, stream.getframerate()
        except (wave.Error, EOFError, ValueError) as error:
            raise InputError(f"{COMMAND} -v {voice!r}: no wav came ({error or 'nothing'})") from None


def _call(*arguments: str) -> bytes:
    try:
        return subprocess.run([COMMAND, *arguments], capture_output=True, check=True, timeout=TIMEOUT_S).stdout
    except FileNotFoundError:
        raise InputError(f"the command {COMMAND} was not found; {INSTALL}") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {error.returncode}"]
        raise InputError(f"{COMMAND} {' '.join(arguments)}: {said[0]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{COMMAND} {' '.join(arguments)}: {error}") from None
