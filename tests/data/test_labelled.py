"""Images and audio from folders by class: split, cached, broken files counted; log-mel frames against their definition."""

import struct
import wave
import zlib

import numpy as np
import pytest

from laimbench.data import load_clips, load_digits, load_images, log_mel
from laimbench.data.audio import frame_count, read_wav
from laimbench.data.labelled import Unusable, epoch_positions
from laimbench.errors import InputError

RATE = 8000


def png(width, height, pixels=b""):
    """A PNG that claims this size, whatever it holds."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def write_wav(path, samples, rate=RATE, width=2, channels=1):
    scaled = np.rint(np.asarray(samples) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        content = (scaled + 128).astype(np.uint8).tobytes()
    else:
        content = b"".join(int(s).to_bytes(width, "little", signed=True) for s in scaled.ravel())
    with wave.open(str(path), "wb") as stream:
        stream.setparams((channels, width, rate, 0, "NONE", ""))
        stream.writeframes(content)


def tone(hertz, seconds=0.5, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            pixels = generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            image.fromarray(pixels).save(tmp_path / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    return tmp_path


def test_images_are_split_by_class_and_come_as_batches(pictures):
    images = load_images(f"dir:{pictures}", size=8)
    assert images.classes == ("cat", "dog") and images.shape == (3, 8, 8) and images.notes == ()
    assert np.bincount(images.sets.train.labels).tolist() == [8, 8]
    assert np.bincount(images.sets.validation.labels).tolist() == [2, 2]
    x, y = images.train_batch(seed=0, step=0, count=16)
    assert x.shape == (16, 3, 8, 8) and x.dtype == np.float32 and 0 <= x.min() < 0.3 < 0.7 < x.max() <= 1
    assert np.bincount(y).tolist() == [8, 8] and len({image.tobytes() for image in x}) == 16
    assert not {image.tobytes() for image in x} & {image.tobytes() for image in images.validation_batch(0, 9)[0]}
    assert len(images.validation_batch(3, 9)[1]) == 1
    assert np.array_equal(
        load_images(f"dir:{pictures}", size=8).train_batch(0, 3, 5)[0], images.train_batch(0, 3, 5)[0]
    )
    assert load_images(f"dir:{pictures}", size=4, channels=1).shape == (1, 4, 4)


def test_broken_images_are_counted_and_bombs_refused(pictures):
    cat = pictures / "cat"
    (cat / "bomb.png").write_bytes(png(60_000, 60_000))
    (cat / "large.png").write_bytes(png(8_000, 8_000))
    (cat / "claims.png").write_bytes(png(100, 100, b"short"))
    (cat / "empty.png").write_bytes(b"")
    (cat / "text.jpg").write_text("no image")
    (cat / "cut.jpg").write_bytes((cat / "0.jpg").read_bytes()[:300])
    (cat / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    images = load_images(f"dir:{pictures}", size=8)
    assert len(images.sets.train) + len(images.sets.validation) == 20
    assert len(images.notes) == 1 and "(and 6 more)" in images.notes[0]
    from laimbench.data.images import read_image

    for name in ("bomb", "large"):
        with pytest.raises(Unusable, match="refused"):
            read_image(cat / f"{name}.png", 8, 3)


def test_a_split_that_was_made_is_kept_and_repetitions_leave_validation(pictures, tmp_path_factory):
    root = tmp_path_factory.mktemp("split")
    for side, numbers in (("train", range(8)), ("val", (7, 8, 9))):
        for name in ("cat", "dog"):
            (root / side / name).mkdir(parents=True)
            for i in numbers:
                suffix = "png" if i % 2 else "jpg"
                (root / side / name / f"{i}.{suffix}").write_bytes((pictures / name / f"{i}.{suffix}").read_bytes())
    images = load_images(f"dir:{root}", size=8)
    assert len(images.sets.train) == 16 and len(images.sets.validation) == 4
    assert images.notes == ("left out of validation: 2 repetitions of training items",)


def test_wrong_folders_are_named(tmp_path, pictures):
    (tmp_path / "one").mkdir()
    for source in (f"dir:{tmp_path / 'none'}", "file:x", f"dir:{tmp_path / 'one'}", f"dir:{pictures / 'cat'}"):
        with pytest.raises(InputError, match="data"):
            load_images(source)
    with pytest.raises(InputError, match="size"):
        load_images(f"dir:{pictures}", size=0)
    for name in ("cat", "dog"):
        for path in (pictures / name).iterdir():
            path.write_bytes(b"")
    with pytest.raises(InputError, match=r"no usable train file .* left out: cat/0\.jpg: not a whole image"):
        load_images(f"dir:{pictures}", size=8)


def test_digits_are_images_too():
    images, digits = load_images("builtin:digits"), load_digits()
    x, y = images.validation_batch(0, 10_000)
    assert images.shape == (1, 8, 8) and len(images.classes) == 10
    assert np.array_equal(x.reshape(-1, 64), digits.validation_x) and np.array_equal(y, digits.validation_y)


def test_epochs_follow_each_other():
    positions = np.concatenate([epoch_positions(10, 1, step, 4) for step in range(5)])
    assert sorted(positions[:10]) == sorted(positions[10:]) == list(range(10))
    assert positions[:10].tolist() != positions[10:].tolist()


def test_clips_are_resampled_mixed_and_padded(tmp_path):
    for name, hertz in (("low", 300), ("high", 1500)):
        (tmp_path / name).mkdir()
        for i, rate in enumerate((8000, 16000, 11025, 22050, 8000)):
            stereo = np.stack([tone(hertz + i, rate=rate), 0 * tone(hertz, rate=rate)], axis=1)
            write_wav(tmp_path / name / f"{i}.wav", stereo, rate, channels=2)
    clips = load_clips(f"dir:{tmp_path}", rate=RATE, seconds=0.8)
    assert clips.classes == ("high", "low") and len(clips.sets.train) == 8 and len(clips.sets.validation) == 2
    samples, lengths, labels = clips.train_batch(0, 0, 8)
    assert samples.shape == (8, 6400) and samples.dtype == np.float32
    assert all(3998 <= length <= 4002 for length in lengths) and not samples[:, 4010:].any()
    peaks = np.abs(np.fft.rfft(samples[:, :4000], axis=1)).argmax(1) * RATE / 4000
    assert all(abs(peak - (1502 if label == 0 else 302)) < 6 for peak, label in zip(peaks, labels, strict=True))
    assert np.abs(samples).max() == pytest.approx(0.25, abs=0.02)  # the mean of a tone of 0.5 and silence


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_of_pcm_is_read(tmp_path, width):
    write_wav(tmp_path / "a.wav", tone(440), width=width)
    samples, length = read_wav(tmp_path / "a.wav", RATE, 4000)
    assert length == 4000 and np.abs(samples / 32768 - tone(440)).max() < (0.009 if width == 1 else 1e-4)


def test_broken_wavs_are_named(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, tone(440))
    whole = path.read_bytes()
    # bytes 20: format, 22: channels, 24: rate, 34: bits
    cases = {b"": "empty", whole[:30]: "empty or cut", b"RIFF" + b"x" * 100: "not a PCM", whole[:1000]: "breaks off",
             whole[:20] + b"\3" + whole[21:]: "not a PCM", whole[:24] + b"\0\0\0\0" + whole[28:]: "samples a second",
             whole[:22] + b"\0\0" + whole[24:]: "not a PCM", whole[:34] + b"\x40" + whole[35:]: "64 bits"}  # fmt: skip
    for content, word in cases.items():
        path.write_bytes(content)
        with pytest.raises(Unusable, match=word):
            read_wav(path, RATE, 4000)
    write_wav(path, [])
    with pytest.raises(Unusable, match="no samples"):
        read_wav(path, RATE, 4000)
    generator = np.random.default_rng(0)
    for _ in range(300):  # whatever the bytes are: read, or unusable
        damaged = bytearray(whole[:200])
        for place in generator.integers(0, 60, 4):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            samples, length = read_wav(path, RATE, 4000)
            assert samples.shape == (4000,) and 0 < length <= 4000
        except Unusable:
            pass


def test_a_broken_wav_is_counted(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            write_wav(tmp_path / name / f"{i}.wav", tone(200 + 10 * i + 500 * (name == "b")))
    (tmp_path / "a" / "zero.wav").write_bytes(b"")
    clips = load_clips(f"dir:{tmp_path}", rate=RATE)
    assert clips.notes == ("left out: a/zero.wav: empty or cut within its header",)
    with pytest.raises(InputError, match="audio"):
        load_clips(f"dir:{tmp_path}", rate=0)


def test_log_mel_frames_show_a_tone_where_it_is():
    samples = np.stack([tone(500, 1.0), tone(2000, 1.0)]).astype(np.float32)
    frames = log_mel(samples, RATE)
    assert (
        frames.shape == (2, 98, 40)
        and frames.dtype == np.float32
        and frame_count(np.array([8000, 100]), RATE).tolist() == [98, 1]
    )
    mel = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42)[1:-1]
    centres = 700 * (10 ** (mel / 2595) - 1)
    assert [abs(centres[band] - hertz) < 100 for band, hertz in zip(frames[:, 50].argmax(1), (500, 2000), strict=True)]
    louder = log_mel(2 * samples, RATE)
    strong = frames > frames.max() - 5
    assert np.allclose((louder - frames)[strong], np.log(4), atol=1e-3)
    assert np.isfinite(log_mel(np.zeros((1, 10), dtype=np.float32), RATE)).all()
