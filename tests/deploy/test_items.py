"""Classes, translations and transcripts: as in training, and right where a small model can be."""

import numpy as np
import pytest
import torch

from laimbench.data import load_images
from laimbench.deploy import Classifier, Transcriber, Translator
from laimbench.deploy.clips import read_clip
from laimbench.errors import InputError
from laimbench.models.decoding import beam_search
from laimbench.train import load_checkpoint
from tests.deploy.conftest import write_wav


@pytest.mark.parametrize("family", ["mlp", "vit"])
def test_digits_are_classified_as_the_model_does(request, family):
    checkpoint = load_checkpoint(request.getfixturevalue(family))
    images, labels = load_images("builtin:digits").validation_batch(0, 70)
    found = Classifier(checkpoint).classify([f"builtin:digits:{i}" for i in range(70)], top=10)
    inputs = torch.from_numpy(images)
    with torch.no_grad():
        expected = checkpoint.model.logits(inputs.flatten(1) if family == "mlp" else inputs).softmax(-1)
    for one, row in zip(found, expected, strict=True):
        assert sum(p for _, p in one.classes) == pytest.approx(1, abs=1e-5)
        assert [p for _, p in one.classes] == pytest.approx(row.sort(descending=True).values.tolist(), abs=1e-5)
    if family == "mlp":
        assert np.mean([int(one.classes[0][0]) == label for one, label in zip(found, labels, strict=True)]) > 0.8


def test_an_image_file_is_what_its_pixels_are(mlp, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = load_images("builtin:digits").validation_batch(3, 1)[0][0, 0]
    image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / "digit.png")
    from_file, built_in = Classifier(load_checkpoint(mlp)).classify([str(tmp_path / "digit.png"), "builtin:digits:3"])
    assert dict(from_file.classes) == pytest.approx(dict(built_in.classes), abs=0.02)


def test_texts_are_classified_by_their_checkpoint_alone(bert):
    apples, hammers, long = Classifier(load_checkpoint(bert)).classify(
        ["apples 77 apples", "hammers 77 hammers", "hammers " * 50]
    )
    assert apples.classes[0][0] == "fruit" and hammers.classes[0][0] == long.classes[0][0] == "tool"
    assert len(apples.classes) == 2 and "first 11 tokens" in long.note and not apples.note


def test_tones_are_classified_and_long_ones_cut(audio, tmp_path):
    files = [write_wav(tmp_path / f"{hertz}-{s}.wav", hertz, s) for hertz, s in ((2050, 0.3), (250, 0.3), (2050, 0.8))]
    high, low, long = Classifier(load_checkpoint(audio)).classify([str(file) for file in files], top=1)
    assert [one.classes[0][0] for one in (high, low, long)] == ["high", "low", "high"]
    assert not high.note and long.note == "cut to its first 0.5 s"


def test_a_batch_of_clips_is_transcribed_as_each_alone(ctc, tmp_path):
    files = [str(write_wav(tmp_path / f"{i}.wav", 300 * i + 200, 0.1 * i + 0.15)) for i in range(4)]
    transcriber = Transcriber(load_checkpoint(ctc))
    together = transcriber.transcribe(files)
    assert together == [transcriber.transcribe([file])[0] for file in files]
    assert {label for one in together for label in one.labels} <= {"zero", "one", "two"}
    assert any(one.labels for one in together)


def test_translations_are_those_of_beam_search(transformer):
    translator = Translator(load_checkpoint(transformer))
    texts = ["twelve", "nine hundred two", *["seven"] * 40]
    found = translator.translate(texts, beams=2)
    batch = translator.pairs.encode([(text, "") for text in texts[:2]])
    rows = beam_search(translator.model, torch.from_numpy(batch.source), torch.from_numpy(batch.source_lengths),
                       translator.pairs.max_target, begin=1, end=2, beams=2)  # fmt: skip
    assert found[:2] == [translator.pairs.decode(np.array(row)) for row in rows]
    assert len(found) == 42 and len(set(found[2:])) == 1


def test_what_cannot_be_read_is_named(mlp, bert, audio, transformer, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    for folder, item, message in (
        (mlp, tmp_path / "broken.png", "broken.png: not a whole image"),
        (mlp, tmp_path / "none.png", "none.png: no such file"),
        (mlp, "builtin:digits:100000", "N from 0 to"),
        (mlp, "builtin:digits", "N from 0 to"),
        (audio, tmp_path / "broken.wav", "broken.wav: "),
        (audio, tmp_path / "none.wav", "none.wav: no such file"),
        (bert, "\udcff", "not UTF-8"),
    ):
        with pytest.raises(InputError, match=message):
            Classifier(load_checkpoint(folder)).classify([str(item)])
    with pytest.raises(InputError, match="'!'"):
        Translator(load_checkpoint(transformer)).translate(["two!"])


def test_frames_behind_a_short_clip_are_not_the_models(audio, tmp_path):
    facts = load_checkpoint(audio).facts
    frames, _ = read_clip(write_wav(tmp_path / "short.wav", 440, 0.1), facts)
    assert frames.shape == (8, 40)  # 25 ms every 10 ms of 100 ms
