"""Speech and sounds: wav files in a folder for each class (``dir:PATH``), synthesised digits, and log-mel frames."""

import wave
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np

from laimbench.data.labelled import ByClass, Decoder, Labelled, Unusable, load_folders
from laimbench.data.spoken import DIGITS, NUMBERS, Speech, load_spoken
from laimbench.errors import InputError

WINDOW_S, HOP_S = 0.025, 0.010  # of a frame
FLOOR = 1e-10  # of a mel band's power, below what 16 bits resolve
RATES = (1000, 384_000)  # of files that are read


@dataclass(frozen=True)
class Clips(ByClass):
    """Clips of one sampling rate as int16 (n, T), shorter ones padded with zeros; batches come as float32 in [-1, 1)."""

    rate: int

    def at(self, side: Labelled, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return samples (B, T), their lengths (B,) and labels (B,)."""
        samples = side.items[positions].astype(np.float32) / np.float32(32768)
        return samples, side.lengths[positions], side.labels[positions]


def load_clips(source: str, rate: int = 16_000, seconds: float = 1.0) -> Clips:
    """Return the clips of ``dir:PATH``: mixed to one channel, resampled to ``rate``, cut or padded to ``seconds``.

    Or of ``builtin:spoken-digits``: zero to nine, synthesised, padded to ``seconds``.

    Raises:
        InputError: a bad source, rate or length; of spoken digits, no espeak-ng to make the clips with.
    """
    check_audio(rate, seconds)
    if source == DIGITS:
        return Clips(source, load_spoken(source, rate, seconds), rate)
    samples = round(seconds * rate)

    def decode(path: Path) -> tuple[np.ndarray, int]:
        return read_wav(path, rate, samples)

    kind = f"clips {rate} {samples}"
    return Clips(source, load_folders(source, Decoder(kind, (".wav",), (samples,), np.int16, decode)), rate)


def load_speech(source: str = NUMBERS, rate: int = 16_000, seconds: float = 2.0) -> Speech:
    """Return ``builtin:spoken-numbers``: one to three spoken digits in a row at ``rate``, padded to ``seconds``.

    Raises:
        InputError: another source, a bad rate or length, or no espeak-ng to make the clips with.
    """
    check_audio(rate, seconds)
    if source != NUMBERS:
        raise InputError(f"data {source!r}: no speech with transcripts, expected {NUMBERS}")
    return Speech(source, load_spoken(source, rate, seconds), rate)


def check_audio(rate: int, seconds: float) -> None:
    """Raise InputError for clips that are too long or of an odd rate."""
    if not RATES[0] <= rate <= RATES[1] or not 0 < seconds <= 60:
        raise InputError(f"audio of {seconds} s at {rate} Hz, expected to 60 s at {RATES[0]} to {RATES[1]} Hz")


def read_wav(path: Path, rate: int, samples: int) -> tuple[np.ndarray, int]:
    """Return int16 (samples,) at ``rate`` and how many of them are the file's; what is longer is cut.

    Raises:
        Unusable: empty, not PCM of 8 to 32 bits, of an odd rate, or breaking off.
    """
    from scipy.signal import resample_poly

    try:
        with wave.open(str(path), "rb") as stream:
            channels, width, own_rate, frames = stream.getparams()[:4]
            if not RATES[0] <= own_rate <= RATES[1]:
                raise Unusable(f"{own_rate} samples a second, expected {RATES[0]} to {RATES[1]}")
            wanted = min(frames, -(-samples * own_rate // rate) + 1)
            content = stream.readframes(wanted)
    except Unusable:
        raise
    except EOFError:
        raise Unusable("empty or cut within its header") from None
    except Exception as error:  # odd headers end in errors of struct and the like
        raise Unusable(f"not a PCM wav file ({error})") from None
    if not frames:
        raise Unusable("has no samples")
    if len(content) < wanted * channels * width:
        raise Unusable(f"breaks off: {len(content)} bytes of {wanted * channels * width} that were to be read")
    mono = _pcm(content, width).reshape(-1, channels).mean(1)
    if own_rate != rate:
        common = gcd(rate, own_rate)
        mono = resample_poly(mono, rate // common, own_rate // common)
    mono = np.clip(np.rint(mono[:samples] * 32768), -32768, 32767).astype(np.int16)
    return np.pad(mono, (0, samples - len(mono))), len(mono)


def _pcm(content: bytes, width: int) -> np.ndarray:
    """Return samples in [-1, 1): 8 bits are unsigned, more are little-endian two's complement."""
    if width == 1:
        return (np.frombuffer(content, dtype=np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        padded = np.zeros((len(content) // 3, 4), dtype=np.uint8)
        padded[:, 1:] = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3)
        return padded.view("<i4").ravel() / 2.0**31
    if width in (2, 4):
        return np.frombuffer(content, dtype=f"<i{width}") / 2.0 ** (8 * width - 1)
    raise Unusable(f"{8 * width} bits a sample, expected 8, 16, 24 or 32")


def frame_count(lengths: np.ndarray, rate: int) -> np.ndarray:
    """Return how many frames hold samples of clips of these lengths (at least 1): what a mask of frames needs."""
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    return np.maximum(1, 1 + (lengths - window) // hop)


def log_mel(samples: np.ndarray, rate: int, bands: int = 40) -> np.ndarray:
    """Return log-mel frames (B, frames, bands) float32 of samples (B, T): 25 ms Hann windows every 10 ms.

    The natural log of the power in triangular bands on the mel scale 2595 log10(1 + f / 700) (Davis & Mermelstein 1980;
    O'Shaughnessy 1987), from 0 to half the rate.
    """
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    padded = np.pad(samples, ((0, 0), (0, max(0, window - samples.shape[1]))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::hop]
    spectrum = np.fft.rfft(frames * np.hanning(window), n=_fft_size(window), axis=2)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log(np.maximum(power @ _mel_filters(rate, _fft_size(window), bands), FLOOR)).astype(np.float32)


def _fft_size(window: int) -> int:
    return 1 << (window - 1).bit_length()


@lru_cache(maxsize=4)
def _mel_filters(rate: int, size: int, bands: int) -> np.ndarray:
    """Return (size / 2 + 1, bands): each band rises from its lower neighbour's centre and falls to its upper one's."""
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2)
    centres = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.arange(size // 2 + 1)[:, None] * rate / size
    rising = (frequencies - centres[:-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[2:] - frequencies) / (centres[2:] - centres[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
