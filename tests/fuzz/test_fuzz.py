import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fuzz import readers

ROOT = Path(__file__).resolve().parents[2]


def test_ten_thousand_wrong_inputs_end_in_a_value_or_one_line(tmp_path):
    code = f"import sys; sys.path.append({str(ROOT)!r}); from tests.fuzz.readers import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "10000", "--seed", "10", "--kept", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["inputs"] == 10000 and min(found["by_reader"].values()) > 500 and found["peak_mib"] < 3000


def test_right_inputs_are_read(tmp_path):
    for reader in readers.readers(tmp_path):
        for content in reader.seeds:
            path = readers.written(tmp_path / reader.path, content)
            reader.read(path)
            for left in tmp_path.glob("*.sqlite*"):
                left.unlink()


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("two\nlines"), readers.LaimbenchError("two\nlines")])
def test_what_is_not_for_users_is_found(tmp_path, error):
    def read(path):
        raise error

    assert readers.attempt(readers.Reader("x", "x", [b""], read), tmp_path)
    assert not readers.attempt(readers.Reader("x", "x", [b""], lambda path: 1), tmp_path)


def test_what_was_found_in_tokenizers(tmp_path):
    seed = next(reader.seeds[0] for reader in readers.readers(tmp_path) if reader.name == "tokenizer")
    odd = json.loads(seed)
    odd["model"]["continuing_subword_prefix"] = "longer than any token"
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    with pytest.raises(
        readers.LaimbenchError, match=r"not a tokenizer\.json"
    ):  # the library panics, which is no Exception
        readers.read_tokenizer(tmp_path / "odd.json")


def test_what_was_found_in_stores(tmp_path):
    path = readers.written(tmp_path / "odd.sqlite", readers.store_seed(tmp_path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE metrics SET train_loss = 'x'")
    with pytest.raises(readers.LaimbenchError, match=r"odd\.sqlite: damaged, holds what no column takes"):
        readers.read_store(path)


@pytest.mark.parametrize(
    "content, said",
    [("a = " + "[" * 3000, "not a TOML file"), (readers.TOML.decode().replace('"gpt"', "[]"), "family is")],
)
def test_what_was_found_in_ladders(tmp_path, content, said):
    (tmp_path / "ladder.toml").write_text(content)
    with pytest.raises(readers.LaimbenchError, match=said):
        readers.load_ladder(tmp_path / "ladder.toml")
