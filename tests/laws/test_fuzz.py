"""Ten thousand broken inputs: each ends in a result or in one clear line, and soon."""

import random

import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.columns import match_columns
from laimbench.laws.where import parse_where

INPUTS = 10_000
PIECES = [
    "params", "tokens", "flops", "loss", "N", "D", "Model Size (B)", "1", "-1", "1.3B", "2e9", "1e400", "nan", "inf", "", " ", "\n", "\r\n",
    "\x00", ",", ";", "\t", "|", '"', '""', "'", "`", "(", ")", "=", "==", "!=", "<", ">=", "and", "or", "not", "in", "é", "\ufeff", "{", "}",
    "[", "]", ":", "null", "true", "{}", '{"loss": 1}', '{"params": "2B", "loss": [1]}', "1_0", "1,000", "3 PF-days", "/s", "x" * 200, "💥",
]  # fmt: skip
SEEDS = {
    ".csv": ["params,tokens,loss\n1e6,2e7,4.1\n2e6,3e7,3.9\n", "N;D;val_loss\n1B;2B;3\n", ""],
    ".tsv": ["Model Size (B)\tC\tloss\tname\n1\t1e21\t2\ta\n2\t1 PF-days\t\t7\n"],
    ".jsonl": ['{"params": 1, "tokens": 2, "loss": 3}\n{"params": 2, "tokens": 2, "loss": null}\n'],
    ".json": ['[{"N": 1, "D": 2, "loss": 3, "config": {"lr": 1}}]', '{"N": [1, 2], "loss": [3, "4"]}'],
    "where": ["params >= 1.3B and (kind = a or not seed in (3, 4)), loss != nan", "kind=a,`params` < 3 PF-days"],
    "columns": ["params=Model Size,tokens=D|flops=C,loss=val", 'params="N"'],
}


def mutated(rng: random.Random, kind: str) -> str:
    text = rng.choice(SEEDS[kind])
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        at, to = sorted(rng.randint(0, len(text)) for _ in range(2))
        text = rng.choice(
            [text[:at] + rng.choice(PIECES) + text[at:], text[:at] + text[to:], text[:to] + text[at:to] + text[to:]]
        )
    return text


def tried(function, *arguments):
    try:
        return function(*arguments)
    except InputError as error:
        assert "\n" not in str(error), error
        return None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
def test_files(tmp_path, suffix):
    rng, path, read = random.Random(suffix), tmp_path / f"fuzz{suffix}", 0
    for _ in range(INPUTS // 16):
        path.write_bytes(mutated(rng, suffix).encode())
        read += tried(laws.read_table, path, None, "loss > 0" if rng.random() < 0.2 else "") is not None
    assert read > 20


def test_filters_mappings_and_bytes(tmp_path):
    rng = random.Random(1)
    columns = laws.from_columns({"params": [1, 2], "kind": ["a", "b"], "loss": [1.0, None], "seed": [3, 4]}).columns
    kept = matched = 0
    for _ in range((INPUTS * 3 // 4 - 500) // 2):
        condition = tried(parse_where, mutated(rng, "where"))
        kept += condition is not None and tried(condition.mask, columns) is not None
        matched += tried(match_columns, ["Model Size", "D", "C", "val", "N"], mutated(rng, "columns")) is not None
    assert kept > 100 and matched > 100
    for _ in range(500):
        path = tmp_path / ("x" + rng.choice([".csv", ".parquet", ".csv.gz", ".jsonl", ".json"]))
        path.write_bytes(rng.randbytes(rng.randint(0, 200)))
        tried(laws.read_table, path)
