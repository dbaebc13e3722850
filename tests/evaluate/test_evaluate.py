"""Figures against independent computations from the same checkpoint; baselines; what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics

from laimbench.data import load_images, load_pairs, load_windows
from laimbench.data.pairs import BEGIN, END
from laimbench.data.tokenizer import read_tokenizer
from laimbench.errors import InputError
from laimbench.evaluate.language import position_losses
from laimbench.evaluate.run import evaluate
from laimbench.train import load_checkpoint
from tests.evaluate.conftest import MARKOV, trained


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, before = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (x != y)))
    return row[-1]


def figures(document):
    compared = [figure for one in document["comparisons"] for figure in one["figures"]]
    return {figure["name"]: figure for figure in [*document["figures"], *compared]}


@torch.no_grad()
def test_a_gpt_by_a_loop_over_its_windows(gpt):
    document = evaluate(gpt, eval_tokens=640)
    checkpoint = load_checkpoint(gpt)
    data = load_windows(checkpoint.config.data, 300)
    windows = data.validation_windows(20, 33)
    tokenizer = read_tokenizer(checkpoint.tokenizer_path)[0]
    losses, length = [], 0
    for row in torch.from_numpy(windows):
        losses.append(
            torch.nn.functional.cross_entropy(
                checkpoint.model.logits(row[None, :-1])[0].double(), row[1:], reduction="none"
            )
        )
        length += len(tokenizer.decode(row[1:].tolist(), skip_special_tokens=True).encode())
    losses = torch.stack(losses)
    found = figures(document)
    assert document["items"] == 20 and document["unit"] == "windows"
    assert found["loss"]["value"] == pytest.approx(losses.mean().item(), rel=1e-5)
    assert found["perplexity"]["value"] == pytest.approx(math.exp(losses.mean()), rel=1e-5)
    assert document["details"]["bytes"] == length  # ASCII: no window cuts a character
    assert found["bits per byte"]["value"] == pytest.approx(losses.sum().item() / math.log(2) / length, rel=1e-5)
    by_position = document["details"]["loss_by_position"]
    assert by_position["loss"] == pytest.approx(losses.mean(0).tolist(), rel=1e-4)
    assert by_position["standard_error"] == pytest.approx((losses.std(0) / 20**0.5).tolist(), rel=1e-4)
    assert all(f["lower"] < f["value"] < f["upper"] for f in document["figures"])
    assert evaluate(gpt, eval_tokens=640)["figures"] == document["figures"]


def test_all_that_is_held_out_is_evaluated_once(gpt):
    checkpoint = load_checkpoint(gpt)
    data = load_windows(checkpoint.config.data, 300)
    document = evaluate(gpt)
    assert document["items"] == (len(data.validation) - 1) // 32
    assert document["details"]["bytes"] <= data.validation_bytes
    assert document["details"]["bytes"] > 0.95 * data.validation_bytes
    laim = evaluate(gpt, backend="laim")
    assert laim["config"]["backend"] == "laim"
    assert figures(laim)["loss"]["value"] == pytest.approx(figures(document)["loss"]["value"], rel=1e-4)


def test_windows_of_one_document_count_once():
    """Windows said twice over, in clusters of two, tell no more than once."""
    losses = np.random.default_rng(0).gamma(2.0, 1.0, (40, 6))
    mean, error = position_losses(losses, None)
    each = position_losses(losses, np.arange(40))
    twice = position_losses(losses.repeat(2, 0), np.arange(40).repeat(2))
    for found in (each, twice):
        assert found[0] == pytest.approx(mean) and found[1] == pytest.approx(error)
    assert (position_losses(losses.repeat(2, 0), None)[1] < 0.8 * error).all()


def test_documents_are_the_clusters_of_text(gpt, tmp_path):
    for i in range(60):
        (tmp_path / f"{i}.txt").write_text(f"value + {i} " * 90)
    document = evaluate(gpt, data=f"dir:{tmp_path}")
    clusters = document["figures"][0]["clusters"]
    assert 1 < clusters < document["items"] / 2
    assert any(f"{clusters} documents" in note for note in document["notes"])


def test_a_trained_gpt_against_ngrams_of_a_known_order(markov):
    document = evaluate(markov, eval_tokens=4096, compare="ngram")
    found, process = figures(document), load_windows(MARKOV, 0).process
    windows = load_windows(MARKOV, 0).validation_windows(256, 17)
    optimum = process.optimal_losses(windows).mean() / math.log(2)
    ngram, difference = found["Kneser-Ney 5-gram"], found["model less Kneser-Ney 5-gram"]
    model = found["loss"]["value"] / math.log(2)
    # Counts find an order of one from 4,096 tokens; the model was trained at a rate that leaves it where it began.
    assert optimum < ngram["value"] < 1.15 * optimum < model
    assert difference["value"] == pytest.approx(model - ngram["value"], rel=1e-6) and difference["lower"] > 0
    assert found["loss above the best possible"]["value"] == pytest.approx((model - optimum) * math.log(2), rel=1e-6)
    assert document["comparisons"][0]["trained_on"] == "4,096 tokens"


@torch.no_grad()
def test_masked_tokens_by_the_full_output(masked):
    found = figures(evaluate(masked, eval_tokens=1024))
    from laimbench.evaluate.held_out import held_out_task

    checkpoint, total, right, count = load_checkpoint(masked), 0.0, 0, 0
    for tokens, positions, targets in held_out_task(checkpoint).validation(32):
        model = checkpoint.model
        logits = model.masked_hidden(tokens, positions) @ model.tokens.weight.T + model.head_bias
        total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
        right += int((logits.argmax(-1) == targets).sum())
        count += targets.numel()
    assert found["masked loss"]["value"] == pytest.approx(total / count, rel=1e-4)
    assert found["masked accuracy"]["value"] == pytest.approx(right / count)


@torch.no_grad()
def test_classes_as_scikit_learn_counts_them(digits):
    document, checkpoint = evaluate(digits), load_checkpoint(digits)
    data = load_images("builtin:digits")
    images, target = data.validation_batch(0, 10_000)
    probabilities = checkpoint.model.logits(torch.from_numpy(images).flatten(1)).double().softmax(1).numpy()
    predicted, found = probabilities.argmax(1), figures(document)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        target, predicted, average="macro", zero_division=0
    )
    expected = {"accuracy": (predicted == target).mean(), "micro f1": metrics.f1_score(target, predicted, average="micro"),
                "macro precision": precision, "macro recall": recall, "macro f1": f1,
                "log loss": metrics.log_loss(target, probabilities),
                "Brier score": ((probabilities - np.eye(10)[target]) ** 2).sum(1).mean()}  # fmt: skip
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, rel=1e-5), name
        assert found[name]["lower"] < value < found[name]["upper"], name
    assert document["details"]["confusion"] == metrics.confusion_matrix(target, predicted).tolist()
    assert [row["items"] for row in document["details"]["per_class"]] == np.bincount(target).tolist()
    assert 0 < found["calibration error"]["value"] < 1 and "lower" not in found["calibration error"]


def test_fewer_items_are_of_all_classes(digits):
    document = evaluate(digits, items=60)
    assert document["items"] == 60
    assert sum(row["items"] > 0 for row in document["details"]["per_class"]) == 10


def test_a_classifier_of_texts_against_bags(classifier):
    document = evaluate(classifier, compare="bag")
    found = figures(document)
    assert document["items"] == 30 and len(document["comparisons"]) == 2
    assert found["bag of words"]["value"] == 1.0  # a word says the class
    for name in ("bag of words", "bag of 1-2-grams"):
        difference = found[f"model less {name}"]["value"]
        assert difference == pytest.approx(found["accuracy"]["value"] - found[name]["value"])


def test_pairs_by_decoding_them_again(dates):
    from sacrebleu.metrics import BLEU, CHRF

    from laimbench.models.decoding import beam_search

    document = evaluate(dates, items=40)
    data, model, found = load_pairs("builtin:dates"), load_checkpoint(dates).model, figures(document)
    batch, targets = data.validation_batch(0, 40), [target for _, target in data.validation_texts(0, 40)]
    for name, beams in (("greedy", 1), ("beam 4", 4)):
        rows = beam_search(model, torch.from_numpy(batch.source), torch.from_numpy(batch.source_lengths), data.max_target,
                           begin=BEGIN, end=END, beams=beams)  # fmt: skip
        said = [data.decode(np.array(row)) for row in rows]
        right = np.mean([a == b for a, b in zip(said, targets, strict=True)])
        assert found[f"exact match, {name}"]["value"] == right
        assert found[f"BLEU, {name}"]["value"] == pytest.approx(BLEU().corpus_score(said, [targets]).score)
        assert found[f"chrF, {name}"]["value"] == pytest.approx(CHRF().corpus_score(said, [targets]).score)
        rate = found[f"character error rate, {name}"]
        edits = sum(levenshtein(a, b) for a, b in zip(targets, said, strict=True))
        assert (
            rate["value"] == pytest.approx(edits / sum(map(len, targets)))
            and rate["lower"] <= rate["value"] <= rate["upper"]
        )
    assert document["unit"] == "pairs" and len(document["details"]["signatures"]) == 2


def test_what_does_not_fit_is_refused_in_a_line(gpt, markov, masked, classifier, digits, dates, tmp_path):
    for folder, options, said in (
        (tmp_path, {}, "not a checkpoint"),
        (gpt, {"compare": "bag"}, "a bert that classifies"),
        (digits, {"compare": "ngram"}, "for a gpt"),
        (masked, {"compare": "bag"}, "a bert that classifies"),
        (gpt, {"compare": "trigram"}, "expected one of ngram, bag"),
        (gpt, {"items": 3}, "items does not go with this gpt"),
        (digits, {"eval_tokens": 3}, "eval_tokens does not go"),
        (gpt, {"items": -1}, "expected 1 or more"),
        (gpt, {"backend": "cuda"}, "backend is 'cuda'"),
        (gpt, {"data": MARKOV}, "expected a source of text"),
        (markov, {"data": "builtin:python"}, "expected a synthetic source"),
        (markov, {"data": "synthetic:markov?order=1&states=13"}, "vocab_size is 13, expected 12"),
        (digits, {"data": "builtin:dates"}, "not a directory"),
        (dates, {"data": "builtin:digits"}, "no pairs"),
        (dates, {"data": "builtin:numbers"}, "max_target is 8, expected 12"),
        (classifier, {"data": "builtin:dates"}, "no labelled texts"),
    ):
        with pytest.raises(InputError) as error:
            evaluate(Path(folder), **options)
        assert said in str(error.value) and "\n" not in str(error.value)


def test_the_tokenizer_of_the_checkpoint_reads_another_source(gpt, tmp_path):
    for i in range(30):
        (tmp_path / f"{i}.txt").write_text("".join(f"Zwölf Boxkämpfer {i} {j} größer\n" for j in range(40)))
    document = evaluate(gpt, data=f"dir:{tmp_path}")
    tokens = load_windows(f"dir:{tmp_path}", 0, str(gpt / "tokenizer.json"))
    assert document["data"] == f"dir:{tmp_path}" and tokens.vocab_size == 300
    assert 0.95 * tokens.validation_bytes < document["details"]["bytes"] <= tokens.validation_bytes
    here = figures(evaluate(gpt))
    assert figures(document)["bits per byte"]["value"] > here["bits per byte"]["value"]


def test_a_model_in_bf16_is_evaluated_in_fp32(tmp_path):
    folder = trained(tmp_path / "model", width=16, depth=1, data=MARKOV, seqlen=16, tokens=256, dtype="bf16")
    document = evaluate(folder, eval_tokens=256)
    assert document["config"]["dtype"] == "bf16" and math.isfinite(figures(document)["loss"]["value"])
