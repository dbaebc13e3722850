"""The filter language: against Python's own meaning, at its edges, and what it says when wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laimbench.errors import InputError
from laimbench.laws.where import parse_where

COLUMNS = {
    "params": np.array([1e8, 1.3e9, 2e9, np.nan]),
    "kind": np.array(["a", "b c", "01", "True"], dtype=object),
    "Model Size": np.array([1.0, 2, 3, 4]),
    "flops": np.array([1e20, 3e20, 1e21, 1e22]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("params >= 1.3B", [0, 1, 1, 0]), ("params=1_300_000_000", [0, 1, 0, 0]), ("params != 2e9", [1, 1, 0, 1]),
     ("params = nan", [0, 0, 0, 1]), ("params != nan", [1, 1, 1, 0]), ("kind=a", [1, 0, 0, 0]), ("kind == 'b c'", [0, 1, 0, 0]),
     ("kind in (a, \"b c\", 1)", [1, 1, 1, 0]), ("kind not in (a, 1)", [0, 1, 0, 1]), ("kind = true", [0, 0, 0, 1]),
     ("`Model Size` > 2", [0, 0, 1, 1]), ('"Model Size" > 2, params < 3B', [0, 0, 1, 0]),
     ("flops > 3 PF-days and flops <= 1 ZFLOP", [0, 1, 1, 0]), ("flops < '3 PF-days'", [1, 0, 0, 0]),
     ("kind=a or kind=01, `Model Size`>1", [0, 0, 1, 0]), ("NOT (kind=a OR kind=01) AND `Model Size` < 4", [0, 1, 0, 0]),
     ("params>1B,kind=01", [0, 0, 1, 0])],
)  # fmt: skip
def test_what_it_keeps(text, expected):
    assert parse_where(text).mask(COLUMNS).tolist() == [bool(flag) for flag in expected]


@pytest.mark.parametrize(
    ("text", "words"),
    [("size > 1", ["'size'", "has params, kind, Model Size, flops"]), ("params = abc", ["'params'", "numbers", "'abc'"]),
     ("kind < 3", ["'kind'", "text"]), ("params > abc", ["'params'", "'abc'"]), ("", ["character 1", "it ends"]),
     ("params >", ["character 9", "value"]), ("params", ["character 7", "="]), ("(params > 1", ["character 12", "')'"]),
     ("params > 1 2", ["character 12", "'2'"]), ("params > 1)", ["character 11", "')'"]), ("kind = 'a", ["character 8", "quote"]),
     ("params ! 1", ["character 8", "'!'"]), ("'kind' = a", ["character 1", "column"]), ("kind in a", ["character 9", "'('"]),
     ("kind not = a", ["character 10", "'in'"]), ("a=1,,b=2", ["character 5", "column"]), ("(" * 60 + "a=1", ["nested", "50"]),
     ("not " * 60 + "a=1", ["nested", "50"]), ("a=1 " + " " * 10_000, ["10000"]), ("__import__('os')", ["character 11"])],
)  # fmt: skip
def test_what_is_wrong_and_where(text, words):
    with pytest.raises(InputError) as caught:
        parse_where(text).mask(COLUMNS)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


ROWS = [
    {"x": x, "y": y, "s": s}
    for x, y, s in [(0, 1.5, "a"), (1, -2.0, "b"), (2, 1e9, "it's"), (-1, 0.0, "and"), (2, 3.0, "")]
]
DATA = {
    "x": np.array([row["x"] for row in ROWS], dtype=float),
    "y": np.array([row["y"] for row in ROWS]),
    "s": np.array([row["s"] for row in ROWS], dtype=object),
}
OPERATORS = {
    "=": lambda a, b: a == b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip
NUMBERS = st.sampled_from([("0", 0), ("1", 1), ("-1", -1), ("2", 2), ("1.5", 1.5), ("1B", 1e9), ("-2e0", -2), ("3", 3)])
TEXTS = st.sampled_from(
    [("a", "a"), ("'b'", "b"), ("'it''s'", "it's"), ('"and"', "and"), ("''", ""), ("zebra", "zebra")]
)


def _compare(column, operator, value):
    return f"{column}{operator}{value[0]}", lambda row: OPERATORS[operator](row[column], value[1])


def _within(column, values, negated):
    text = f"{column} {'not ' if negated else ''}in ({', '.join(value[0] for value in values)})"
    return text, lambda row: (row[column] in [value[1] for value in values]) != negated


def _joined(word, a, b):
    meaning = {"and": lambda row: a[1](row) and b[1](row), "or": lambda row: a[1](row) or b[1](row)}[word]
    return f"({a[0]} {word} {b[0]})", meaning


leaves = st.one_of(
    st.builds(_compare, st.sampled_from("xy"), st.sampled_from(list(OPERATORS)), NUMBERS),
    st.builds(_compare, st.just("s"), st.sampled_from(["=", "==", "!="]), TEXTS),
    st.builds(_within, st.sampled_from("xy"), st.lists(NUMBERS, min_size=1, max_size=3), st.booleans()),
    st.builds(_within, st.just("s"), st.lists(TEXTS, min_size=1, max_size=3), st.booleans()),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(_joined, st.sampled_from(["and", "or"]), inner, inner),
        inner.map(lambda part: (f"not {part[0]}", lambda row: not part[1](row))),
    ),
    max_leaves=12,
)


@given(expressions)
def test_random_expressions_mean_what_python_means(expression):
    text, meaning = expression
    assert parse_where(text).mask(DATA).tolist() == [bool(meaning(row)) for row in ROWS]


@given(st.lists(leaves, min_size=3, max_size=3), st.permutations(["and", "or"]))
def test_and_binds_before_or_without_parentheses(parts, words):
    text = f"{parts[0][0]} {words[0]} {parts[1][0]} {words[1]} {parts[2][0]}"
    if words[0] == "and":
        expected = [(parts[0][1](row) and parts[1][1](row)) or parts[2][1](row) for row in ROWS]
    else:
        expected = [parts[0][1](row) or (parts[1][1](row) and parts[2][1](row)) for row in ROWS]
    assert parse_where(text).mask(DATA).tolist() == [bool(flag) for flag in expected]
