"""A scan: counts and places as planted, pieces without seams, bounded memory; a redacted copy is whole or not there."""

import gzip
import json
import tracemalloc

import pytest

from laimbench.data.documents import PIECE_BYTES
from laimbench.errors import InputError
from laimbench.responsible import privacy
from laimbench.responsible.privacy import PLACES_KEPT, scan


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one\r\ntwo jane@mail.org\nthree (212) 555-0187 and bob@mail.org", newline="")
    (folder / "sub" / "b.md").write_text("nothing here\n")
    rows = [{"text": 'said "x@y.org"\n\ttab é', "id": 1}, {"other": 1}, {"text": "clean"}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "c.txt.gz").write_bytes(gzip.compress(b"key AKIAQ3EGRFV5T2WZ7XYB\n"))
    return folder


def test_counts_and_places(source):
    found = scan(f"dir:{source}")
    assert found.documents == 5 and found.counts["email"] == 3 and found.documents_with["email"] == 2
    assert [(p.document, p.line) for p in found.places["email"]] == [("a.txt", 2), ("a.txt", 3), ("rows.jsonl:1", 1)]
    assert found.counts["phone"] == found.counts["api_key"] == 1 and sum(found.counts.values()) == 5
    assert any("no field 'text'" in line for line in found.left_out)
    text = json.dumps(found.to_dict())
    assert "jane" not in text and "AKIA" not in text and "555" not in text


def test_a_single_small_file_is_one_document(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("\n\nme@x.org")
    found = scan(f"file:{path}")
    assert found.documents == 1 and found.places["email"][0].line == 3


@pytest.mark.parametrize("shift", [0, 7, 30])
def test_no_item_is_lost_where_a_long_document_is_cut(tmp_path, shift):
    key = "-----BEGIN PRIVATE KEY-----\n" + "QUJD\n" * 60 + "-----END PRIVATE KEY-----\n"
    before = "word \n" * ((PIECE_BYTES - 150) // 6) + "x" * shift + "\n"
    path = tmp_path / "long.txt"
    path.write_text(before + key + "end\n" + "tail\n" * 60_000 + "last@mail.org\n")
    found = scan(f"file:{path}", redacted=tmp_path / "copy")
    assert found.documents == 1 and found.counts["private_key"] == found.counts["email"] == 1
    assert found.places["private_key"][0].line == before.count("\n") + 1
    assert found.places["email"][0].line == path.read_text().count("\n")
    copy = (tmp_path / "copy" / "long.txt").read_text()
    assert copy == before + "<PRIVATE_KEY>\nend\n" + "tail\n" * 60_000 + "<EMAIL>\n"


def test_an_item_at_the_cut_of_an_endless_line(tmp_path):
    path = tmp_path / "line.txt"
    path.write_text("word " * ((PIECE_BYTES - 10) // 5) + "jane.doe@mail.org " + "word " * 1000)
    assert scan(f"file:{path}").counts["email"] == 1


def test_memory_does_not_grow_with_the_text(tmp_path):
    path = tmp_path / "big.txt"
    path.write_text((("some text that holds nothing\n" * 2000) + "jane@mail.org\n") * 300)  # 17 MB
    tracemalloc.start()
    found = scan(f"file:{path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.counts["email"] == 300 and len(found.places["email"]) == PLACES_KEPT
    assert peak < path.stat().st_size / 2  # some pieces of 1 MiB


def test_the_copy_is_readable_and_clean(source, tmp_path):
    before = {p: p.read_bytes() for p in source.rglob("*") if p.is_file()}
    out = tmp_path / "deep" / "copy"
    found = scan(f"dir:{source}", redacted=out)
    assert found == scan(f"dir:{source}")
    assert (out / "a.txt").read_bytes() == b"one\r\ntwo <EMAIL>\nthree <PHONE> and <EMAIL>"
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert rows == [{"text": 'said "<EMAIL>"\n\ttab é'}, {"text": "clean"}]
    assert (out / "c.txt.gz.txt").read_text() == "key <API_KEY>\n" and (out / "sub" / "b.md").is_file()
    again = scan(f"dir:{out}")
    assert again.documents == found.documents and not any(again.counts.values())
    assert before == {p: p.read_bytes() for p in source.rglob("*") if p.is_file()}
    assert [p.name for p in out.parent.iterdir()] == ["copy"]


def test_a_copy_that_fails_is_not_there(source, tmp_path, monkeypatch):
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(privacy.os, "fsync", full)
    out = tmp_path / "out" / "copy"
    with pytest.raises(OSError, match="No space left"):
        scan(f"dir:{source}", redacted=out)
    assert list(out.parent.iterdir()) == []


def test_tables_become_json_lines(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "source"
    folder.mkdir()
    parquet.write_table(arrow.table({"body": ["me@x.org", "two"], "mail": ["kept@out.org"] * 2}), folder / "t.parquet")
    found = scan(f"dir:{folder}", text_field="body", redacted=tmp_path / "copy")
    assert found.counts["email"] == 1
    rows = [json.loads(line) for line in (tmp_path / "copy" / "t.parquet.jsonl").read_text().splitlines()]
    assert rows == [{"body": "<EMAIL>"}, {"body": "two"}]


def test_wrong_input(source, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        scan(f"dir:{source}", redacted=tmp_path / "there")
    with pytest.raises(InputError, match="inside the source"):
        scan(f"dir:{source}", redacted=source / "copy")
    with pytest.raises(InputError, match="unknown source"):
        scan("synthetic:markov")
    empty = tmp_path / "there" / "empty.txt"
    empty.write_text("")
    with pytest.raises(InputError, match=r"no text.*is empty"):
        scan(f"file:{empty}")
    assert not (source / "copy").exists()
