"""Labelled texts: operators are found exactly, sides are those of the documents, broken rows are counted."""

import ast
import csv
import gzip
import json

import numpy as np
import pytest

from laimbench.data import SpecialIds, load_labelled_texts, load_tokens
from laimbench.data.corpus import TRAIN, VALIDATION, load_corpus
from laimbench.data.operators import CLASSES, MOST, find_operators
from laimbench.data.rows import read_rows
from laimbench.data.tokenizer import read_tokenizer
from laimbench.errors import InputError

CODE = """
def f(a, /, *b, key=-1, **c):
    for x in a:
        y = é_ü + x*-2 if (x) <= (3) else not x
    return a is  not b or x not  in c and "ä" + (
        y
    ) % x != 1 < 2 \\
        == z, print(*b), f"{a + b}", a // b, a is b  # in
t = (a  # a comment beside the operator
     - b) / c > d >= e - f
found = a in b
"""


def test_every_operator_between_operands_is_found_and_nothing_else():
    places = sorted(find_operators(CODE, ast.parse(CODE)))
    assert [" ".join(CODE[start:stop].split()) for start, stop, _ in places] == [
        "+", "*", "<=", "is not", "or", "not in", "and", "+", "%", "!=", "<", "==", "is", "/", ">", ">=", "-", "in",
    ]  # fmt: skip
    assert all(CLASSES[label] == " ".join(CODE[start:stop].split()) for start, stop, label in places)


def parts(texts, row, length):
    """Return what is before and behind the mask, as text."""
    tokenizer = read_tokenizer(texts.tokenizer)[0]
    (place,) = np.flatnonzero(row == texts.special.mask)
    return tokenizer.decode(row[1:place].tolist()), tokenizer.decode(row[place + 1 : length].tolist())


def test_windows_are_of_documents_of_their_own_side(small_library):
    texts = load_labelled_texts("builtin:operators", 500, length=24)
    corpus = load_corpus("builtin:python")
    documents = {side: "\0".join(corpus.texts(side == VALIDATION)) for side in (TRAIN, VALIDATION)}
    for side, batch in ((TRAIN, texts.train_batch(0, 0, 300)), (VALIDATION, texts.validation_batch(0, 300))):
        for row, length, label in zip(*batch, strict=True):
            before, behind = parts(texts, row, length)
            # the first token may be a part of a character
            assert before.lstrip("\ufffd") in documents[side] and behind.strip("\ufffd ") in documents[side]
            assert 0 <= label < len(CLASSES) and before == before.rstrip() and behind[0] == " "


def test_windows_have_a_fixed_form_and_the_ids_of_pretraining(small_library):
    texts = load_labelled_texts("builtin:operators", 500, length=24)
    tokens = load_tokens("builtin:python", 500)
    assert texts.tokenizer == tokens.folder / "tokenizer.json" and texts.vocab_size == tokens.vocab_size == 500
    assert texts.special == SpecialIds(500) and texts.classes == CLASSES
    ids, lengths, labels = texts.train_batch(3, 1, 200)
    assert ids.shape == (200, 24) and ids.dtype == np.int64 and (ids[:, 0] == texts.special.cls).all()
    assert ((ids == texts.special.mask).sum(1) == 1).all() and ids.max() < texts.special.total
    assert ((ids == texts.special.pad).sum(1) == 24 - lengths).all()
    assert np.median((ids == texts.special.mask).argmax(1)) == 12  # cls, eleven tokens, mask
    again = load_labelled_texts("builtin:operators", 500, length=24).train_batch(3, 1, 200)
    assert all(np.array_equal(a, b) for a, b in zip(again, (ids, lengths, labels), strict=True))
    assert np.bincount(texts.sets.train.labels).max() <= MOST[TRAIN]
    assert 0 < np.bincount(texts.sets.validation.labels).max() <= MOST[VALIDATION]
    trained = {row.tobytes() for row in np.asarray(texts.sets.train.items)}
    assert not trained & {row.tobytes() for row in np.asarray(texts.sets.validation.items)}


def test_special_ids_follow_the_vocabulary():
    special = SpecialIds(4096)
    assert (special.mask, special.cls, special.pad, special.total) == (4096, 4097, 4098, 4099)


def sentence(i, label):
    chosen = np.random.default_rng(i).choice(["alpha", "beta", "gamma", "delta", "épsilon"], 9 + i % 5)
    return f"{label} {i} {' '.join(chosen)}"


def rows(count=60):
    return [{"text": sentence(i, i % 3), "label": i % 3} for i in range(count)]


def write_jsonl(path, extra=()):
    lines = [json.dumps(row).encode() for row in rows()] + list(extra)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def texts_of(texts, side):
    tokenizer = read_tokenizer(texts.tokenizer)[0]
    items = np.asarray(side.items)
    return [tokenizer.decode(row[1:length].tolist()) for row, length in zip(items, side.lengths, strict=True)]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "dir"])
def test_rows_and_folders_come_as_tokens_with_their_labels(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["id", "label", "text"])
            writer.writeheader()
            writer.writerows({**row, "id": 0} for row in rows())
    elif kind == "dir":
        for i, row in enumerate(rows()):
            (path / str(row["label"])).mkdir(parents=True, exist_ok=True)
            (path / str(row["label"]) / f"{i}.txt").write_text(row["text"])
    else:
        write_jsonl(tmp_path / "rows.jsonl")
        if kind.endswith("gz"):
            path.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    source = f"{'dir' if kind == 'dir' else 'file'}:{path}"
    texts = load_labelled_texts(source, 300, length=80)
    assert texts.classes == ("0", "1", "2") and texts.notes == () and texts.vocab_size == 300
    assert np.bincount(texts.sets.train.labels).tolist() == [16] * 3 and texts.train_size == 48
    assert np.bincount(texts.sets.validation.labels).tolist() == [4] * 3 and texts.validation_size == 12
    trained, held_out = (texts_of(texts, side) for side in (texts.sets.train, texts.sets.validation))
    assert sorted(trained + held_out) == sorted(row["text"] for row in rows())
    for side, found in ((texts.sets.train, trained), (texts.sets.validation, held_out)):
        assert [int(text[0]) for text in found] == side.labels.tolist()
    short = load_labelled_texts(source, 300, str(texts.tokenizer), length=6)
    ids, lengths, labels = short.validation_batch(0, 50)
    assert ids.shape == (12, 6) and (lengths == 6).all() and (ids[:, 0] == 301).all() and labels.shape == (12,)


def test_broken_rows_are_counted_by_line_and_the_others_kept(tmp_path):
    bad = [b"{no", b"[1]", b'{"text": "a"}', b'{"text": 3, "label": 1}', b'{"text": "", "label": 1}',
           b'{"text": "a", "label": 1.5}', b'{"text": "a", "label": null}', b"[" * 100_000]  # fmt: skip
    path = write_jsonl(tmp_path / "rows.jsonl", bad)
    problems = []
    assert len(list(read_rows("", path, problems.append))) == 60
    assert [str(problem).split(": ")[0] for problem in problems] == [f"rows.jsonl:{i}" for i in range(61, 69)]
    texts = load_labelled_texts(f"file:{path}", 300)
    assert texts.notes == ("left out: rows.jsonl:61: not JSON (JSONDecodeError) (and 7 more)",)
    path.write_bytes(b'{"text": "\\ud800 lone", "label": true}\n')
    assert [(row.text, row.label) for row in read_rows("", path, problems.append)] == [("\ufffd lone", "True")]


def test_broken_csv_is_counted_and_nothing_behind_an_open_quote_is_believed(tmp_path):
    path = tmp_path / "rows.csv"
    good = b"text,label\n" + b"".join(b'"a, ""%d""\n",%d\n' % (i, i % 2) for i in range(10))
    cases = {good + b"a,b,c\nx\n\n": (10, ["22: 3 columns", "23: 1 columns"]), b"text,class\na,b\n": (0, ["no columns"]),
             b"\xef\xbb\xbf" + good: (10, []), b"": (0, ["no columns"]), good + b"\xff,1\n": (11, ["22: 1 lines"]),
             good + b'"open,1\n' + b"x,1\n" * 50_000: (10, ["what follows is left out"])}  # fmt: skip
    for content, (count, words) in cases.items():
        path.write_bytes(content)
        problems = []
        found = list(read_rows("", path, problems.append))
        assert len(found) == count and len(problems) == len(words)
        assert all(word in str(problem) for word, problem in zip(words, problems, strict=True))
    generator = np.random.default_rng(0)
    for suffix, whole in (
        ("csv", good),
        ("csv.gz", gzip.compress(good)),
        ("jsonl", b'{"text": "a", "label": 1}\n' * 9),
    ):
        path = tmp_path / f"damaged.{suffix}"
        for _ in range(100):  # whatever the bytes are: rows, problems, and no error
            damaged = bytearray(whole[: generator.integers(1, len(whole) + 1)])
            for place in generator.integers(0, len(damaged), 3):
                damaged[place] = generator.integers(0, 256)
            path.write_bytes(damaged)
            assert all(row.text and row.label for row in read_rows("", path, problems.append))


def test_repeated_texts_leave_validation(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": sentence(i % 40, i % 2), "label": i % 2}) + "\n" for i in range(60)))
    texts = load_labelled_texts(f"file:{path}", 300, length=80)
    assert not set(texts_of(texts, texts.sets.train)) & set(texts_of(texts, texts.sets.validation))
    assert "repetitions of training items" in texts.notes[0]


def test_wrong_requests_end_in_one_line(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl")
    (tmp_path / "one.jsonl").write_text('{"text": "a", "label": 1}\n{bad\n')
    (tmp_path / "rows.txt").write_text("a")
    for source, word in ((f"file:{tmp_path / 'none.csv'}", "not a file"), (f"file:{tmp_path / 'rows.txt'}", "suffix '.txt'"),
                         (f"file:{tmp_path / 'one.jsonl'}", "1 classes.*one.jsonl:2"), ("builtin:words", "no labelled texts"),
                         (f"dir:{tmp_path}", "0 classes"), ("dir:", "no labelled texts")):  # fmt: skip
        with pytest.raises(InputError, match=word):
            load_labelled_texts(source, 300)
    for arguments in ((10,), (300, "", 3), (300, str(tmp_path / "rows.txt"))):
        with pytest.raises(InputError):
            load_labelled_texts(f"file:{path}", *arguments)
