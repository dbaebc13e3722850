"""Broken input of every kind: a counted problem with file and line, or a named error; what is good is kept."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from laimbench.data import documents as reading
from laimbench.data import load_tokens
from laimbench.data.corpus import REPEATED, TRAIN, VALIDATION, load_corpus
from laimbench.data.documents import read_documents
from laimbench.errors import InputError

WORDS = np.array(
    ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"]
)


def prose(seed, words=200):
    chosen = np.random.default_rng(seed).choice(WORDS, words)
    return "\n".join(" ".join(chosen[i : i + 10]) for i in range(0, words, 10)) + f"\nnumber {seed}\n"


def read(path, field="text"):
    problems = []
    pieces = list(read_documents(path, path.name, field, problems.append))
    assert all(not piece.text or piece.text.encode() for piece in pieces)
    return pieces, [str(problem) for problem in problems]


def rows(path, count=20, opened=open):
    with opened(path, "wb") as stream:
        for i in range(count):
            stream.write(json.dumps({"text": prose(i), "id": i}).encode() + b"\n")
    return path


def test_a_bad_line_of_json_is_counted_and_the_others_are_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": prose(i)}) for i in range(5)]
    lines[1:1] = [
        "{bad",
        "[1]",
        '{"txt": "a"}',
        '{"text": 3}',
        '{"text": ""}',
        "[" * 100_000,
        '{"text": "\\ud800 lone"}',
        "",
    ]
    path.write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff"}\n')
    pieces, problems = read(path)
    assert [piece.name for piece in pieces] == [
        "rows.jsonl:1",
        "rows.jsonl:8",
        *(f"rows.jsonl:{i}" for i in range(10, 14)),
    ]
    assert pieces[1].text == "\ufffd lone"
    assert [problem.split(": ")[0] for problem in problems] == [f"rows.jsonl:{i}" for i in (2, 3, 4, 5, 6, 7, 14)]
    assert "field 'text'" in problems[1] and "int" in problems[3]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_truncated_archives_keep_their_whole_rows(tmp_path, suffix):
    if suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        pack = zstandard.ZstdCompressor().compress
    else:
        pack = gzip.compress
    # rows that do not compress, so that some of them lie before the cut
    noise = [json.dumps({"text": np.random.default_rng(i).bytes(20_000).hex()}) for i in range(30)]
    path = tmp_path / f"rows.jsonl{suffix}"
    packed = pack("\n".join(noise).encode())
    path.write_bytes(packed)
    assert len(read(path)[0]) == 30 and not read(path)[1]
    path.write_bytes(packed + pack(b'\n{"text": "in a second frame"}'))
    assert len(read(path)[0]) == 31
    path.write_bytes(packed[: len(packed) // 2])
    pieces, problems = read(path)
    assert (
        10 < len(pieces) < 16
        and len(problems) == 1
        and f"rows.jsonl{suffix}:{len(pieces) + 1}: the comp" in problems[0]
    )
    text = tmp_path / f"prose.txt{suffix}"
    text.write_bytes(pack((prose(1) * 300).encode())[:-20])
    assert not [piece for piece in read(text)[0] if piece.last and piece.whole] and len(read(text)[1]) == 1
    text.write_bytes(b"no archive at all")
    assert "cannot be read" in read(text)[1][0]


def test_bytes_that_are_no_text_are_replaced_and_counted_or_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\nbad \xff here\n" + "a real \ufffd\n".encode() + b"cut \xc3")
    pieces, problems = read(path)
    assert [piece.text for piece in pieces] == ["good\nbad \ufffd here\na real \ufffd\ncut \ufffd"]
    assert problems == ["a.txt:2: 2 sequences that are not UTF-8 became U+FFFD, the first here"]
    path.write_bytes("utf-16 text".encode("utf-16"))
    assert read(path) == ([], ["a.txt: holds NUL bytes: not UTF-8 text"])
    path.write_bytes(b"")
    assert read(path) == ([], ["a.txt: is empty"])


def test_long_lines_come_in_pieces_or_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE_BYTES", 1000)
    monkeypatch.setattr(reading, "LINE_BYTES", 5000)
    path = tmp_path / "a.txt"
    for text in ("é" * 5000, prose(0, 2000), "x" * 1000, "y" * 999 + "\n" + "z" * 1500):
        path.write_text(text)
        pieces, problems = read(path)
        assert "".join(piece.text for piece in pieces) == text and not problems
        assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert max(len(piece.text) for piece in pieces) <= 2000
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in ("a", "b" * 20_000, "c" * 3000)))
    pieces, problems = read(path)
    assert [(piece.name, len(piece.text)) for piece in pieces] == [("a.jsonl:1", 1), *[("a.jsonl:3", 1000)] * 3]
    assert len(problems) == 1 and problems[0].startswith("a.jsonl:2: a line of more than")


def test_parquet_rows_are_documents_and_broken_tables_are_problems(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": [prose(0), None, prose(2)], "n": [1, 2, 3]}), path)
    pieces, problems = read(path)
    assert [piece.name for piece in pieces] == ["a.parquet:1", "a.parquet:3"] and problems == ["a.parquet:2: no text"]
    assert "no column 'body', has text, n" in read(path, "body")[1][0]
    invalid = pyarrow.array([b"\xff\xfe"], pyarrow.binary()).cast(pyarrow.string(), safe=False)
    parquet.write_table(pyarrow.table({"text": invalid}), path)
    assert read(path) == ([], ["a.parquet:1: not UTF-8"])
    for content in (b"", b"PAR1", b"x" * 100, path.read_bytes()[:-20]):
        path.write_bytes(content)
        pieces, problems = read(path)
        assert not pieces and len(problems) == 1 and "cannot be read" in problems[0]


def test_a_folder_of_datasets_is_read_as_one(tmp_path):
    datasets = pytest.importorskip("datasets")
    train = datasets.Dataset.from_dict({"text": [prose(i) for i in range(30)]})
    datasets.DatasetDict({"train": train, "test": train}).save_to_disk(str(tmp_path / "two"))
    train.save_to_disk(str(tmp_path / "one"))
    for name in ("one", "two"):
        corpus = load_corpus(f"dir:{tmp_path / name}")
        assert "".join(corpus.texts(False)).count("number") == 28 and "".join(corpus.texts(True)).count("number") == 2
    state = tmp_path / "one" / "state.json"
    for content in ("{", "{}", '{"_data_files": [{"filename": "../../other.arrow"}]}', '{"_data_files": [3]}'):
        state.write_text(content)
        with pytest.raises(InputError, match="one"):
            load_corpus(f"dir:{tmp_path / 'one'}")


def test_links_loops_and_pipes_do_no_harm(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.txt").write_text(prose(i))
    (folder / "loop").symlink_to(folder)
    (folder / "again.txt").symlink_to(folder / "0.txt")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    (folder / "self.txt").symlink_to(folder / "self.txt")
    os.mkfifo(folder / "pipe.txt")
    split = load_corpus(f"dir:{folder}").split
    assert (split.sides <= VALIDATION).sum() == 4
    what = {problem.file: problem.what for problem in split.problems}
    assert set(what) == {"loop", "again.txt" if "again.txt" in what else "0.txt", "gone.txt", "self.txt", "pipe.txt"}


def test_names_that_are_no_text(tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff.jsonl"
    rows(name, 40)
    with Path(os.fsdecode(name)).open("ab") as stream:
        stream.write(b"{\n")
    tokens = load_tokens(f"dir:{tmp_path}", 300)
    assert tokens.notes[0].encode() == b"left out or replaced: \\udcff.jsonl:41: not JSON (JSONDecodeError)"


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path):
    path = rows(tmp_path / "a.jsonl", 40)
    corpus = load_corpus(f"file:{path}")
    assert len(list(corpus.pieces(TRAIN))) == 38
    rows(path, 39)
    with pytest.raises(InputError, match=r"a\.jsonl: changed"):
        list(corpus.pieces(TRAIN))


def test_repetitions_of_training_documents_leave_validation(tmp_path):
    texts = {i: prose(i, 400) for i in range(100)}
    for i, text in texts.items():
        (tmp_path / f"{i:03}.txt").write_text(text)
    held_out = sorted(piece.name for piece in load_corpus(f"dir:{tmp_path}").pieces(VALIDATION))
    assert len(held_out) == 5
    exact, near = (int(name[:3]) for name in held_out[:2])
    others = [i for i in texts if f"{i:03}.txt" not in held_out]
    (tmp_path / f"{others[0]:03}.txt").write_text(texts[exact])
    changed = texts[near].split(" ")
    changed[50] = changed[200] = "omega"
    (tmp_path / f"{others[1]:03}.txt").write_text(" ".join(changed))
    corpus = load_corpus(f"dir:{tmp_path}")
    assert corpus.split.repeated == (1, 1) and len(corpus.split.notes) == 1
    assert sorted(piece.name for piece in corpus.pieces(REPEATED)) == held_out[:2]
    assert sorted(piece.name for piece in corpus.pieces(VALIDATION)) == held_out[2:]
    assert len(list(corpus.pieces(TRAIN))) == 95


def test_nothing_but_repetitions_is_refused(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.txt").write_text(prose(1))
    with pytest.raises(InputError, match="repeat"):
        _ = load_corpus(f"dir:{tmp_path}").split


def test_problems_are_in_the_notes_and_in_meta_json(tmp_path):
    rows(tmp_path / "a.jsonl", 40)
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write("not json\n")
    (tmp_path / "zero.md").write_bytes(b"")
    tokens = load_tokens(f"dir:{tmp_path}", 300)
    meta = json.loads((tokens.folder / "meta.json").read_text())
    assert {(p["file"], p["line"]) for p in meta["problems"]["first"]} == {("a.jsonl", 41), ("zero.md", 0)}
    assert meta["documents"] == {"train": 38, "validation": 2, "repeated": 0, "broken": 0}
    assert len(tokens.notes) == 1 and "a.jsonl:41: not JSON" in tokens.notes[0]


def test_a_source_of_nothing_but_trouble_names_its_first(tmp_path):
    (tmp_path / "a.jsonl").write_text("{\n" * 50)
    with pytest.raises(InputError, match=r"a\.jsonl:1: not JSON"):
        load_tokens(f"file:{tmp_path / 'a.jsonl'}", 300)
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(prose(0, 5000).encode())[:200])
    with pytest.raises(InputError, match=r"a\.txt\.gz"):
        load_tokens(f"file:{packed}", 300)


def test_nothing_is_unpickled(tmp_path):
    """A cache that holds a pickle is refused by NumPy and made again, not loaded."""
    rows(tmp_path / "a.jsonl", 40)
    source = f"dir:{tmp_path}"
    tokens = load_tokens(source, 300)
    bomb = np.array([print], dtype=object)
    path = tokens.folder / "train-00000.npy"
    np.save(path, bomb, allow_pickle=True)
    load_tokens.cache_clear()
    assert load_tokens(source, 300).train.dtype == np.uint16
