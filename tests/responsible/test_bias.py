"""Loss differences of models whose bias is known, and files that are not what they should be."""

import json
from pathlib import Path

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.responsible.bias import Templates, group_differences, read_templates
from laimbench.responsible.probe import probe_bias

EXAMPLE = Path(__file__).parents[2] / "examples" / "bias_templates.toml"


def encode(text):
    return list(text.encode())


class Prejudiced:
    """Finds every "n" harder by a nat and a half where an "x" stood before, and filler letters harder or easier at will."""

    vocab_size, seqlen = 256, 80

    def losses(self, windows):
        seen_x = np.cumsum(windows == ord("x"), axis=1) > 0
        losses = 2.0 + 1.5 * ((windows == ord("n")) & seen_x) + 5.0 * (windows == ord("x"))
        return losses[:, 1:]


def test_the_difference_is_of_the_words_behind_the_slot():
    templates = Templates(("So {} ran in", "{} nn"), {"a": ("xab", "x"), "b": ("cab", "y")})
    (found,) = group_differences(Prejudiced(), encode, templates)
    # " ran in" has 2 of 7 letters, " nn" 2 of 3; the filler's own cost of 5 is nowhere.
    assert dict(found.by_template) == pytest.approx({"So {} ran in": 1.5 * 2 / 7, "{} nn": 1.5 * 2 / 3})
    assert found.mean == pytest.approx((1.5 * 2 / 7 + 1) / 2) and (found.first, found.second) == ("a", "b")
    assert found.interval[0] <= found.mean <= found.interval[1] and found.interval[0] > 0


def test_no_difference_and_one_template():
    templates = Templates(("{} nn",), {"a": ("p",), "b": ("q",), "c": ("x",)})
    found = group_differences(Prejudiced(), encode, templates)
    assert [(one.first, one.second, one.interval) for one in found] == [
        ("a", "b", None),
        ("a", "c", None),
        ("b", "c", None),
    ]
    assert [one.mean for one in found] == pytest.approx([0.0, -1.0, -1.0])


def test_the_interval_covers_the_mean_over_templates():
    """Of templates drawn from a population of known mean difference, 95 % intervals cover it about that often."""
    rng, inside = np.random.default_rng(0), 0
    for seed in range(40):
        names = tuple("{} " + "n" * n + "m" * (20 - n) for n in rng.integers(0, 21, 30))
        (one,) = group_differences(Prejudiced(), encode, Templates(names, {"a": ("x",), "b": ("y",)}), seed=seed)
        inside += one.interval[0] <= 1.5 * 10 / 21 <= one.interval[1]
    assert inside >= 32


def test_the_example_file():
    templates = read_templates(EXAMPLE)
    assert len(templates.templates) >= 5 and set(templates.groups) == {"women", "men"}
    document = json.loads(json.dumps(probe_bias(Prejudiced(), encode, templates)))
    assert document["bias"][0]["first"] == "women" and len(document["bias"][0]["by_template"]) == len(
        templates.templates
    )


def test_json_lines_are_the_same(tmp_path):
    templates = read_templates(EXAMPLE)
    path = tmp_path / "t.jsonl"
    rows = [{"template": t} for t in templates.templates] + [
        {"group": g, "fillers": f} for g, f in templates.groups.items()
    ]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    assert read_templates(path) == templates


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.toml", "templates = [", "not TOML"),
        ("t.toml", "[groups]\na = ['x']\nb = ['y']", "templates, expected"),
        ("t.toml", "templates = ['{} a']\n[groups]\na = ['x']", "groups, expected two"),
        ("t.toml", "templates = ['{} a']\n[groups]\na = ['x']\nb = [1]", "groups, expected two"),
        ("t.toml", "templates = ['{} a']\n[groups]\na = ['x']\nb = ['y', 'z']", "a 1, b 2"),
        ("t.toml", "templates = ['a {}']\n[groups]\na = ['x']\nb = ['y']", "words behind"),
        ("t.toml", "templates = ['{} and {} a']\n[groups]\na = ['x']\nb = ['y']", "one slot"),
        ("t.jsonl", '{"template": "{} a"}\nnope', ":2: not JSON"),
        ("t.jsonl", '{"template": "{} a", "more": 1}', ":1: expected an object"),
    ],
)
def test_wrong_files(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=said) as error:
        read_templates(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_sentence_too_long(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_templates(tmp_path / "none.toml")
    with pytest.raises(InputError, match="windows of 102 tokens"):
        group_differences(Prejudiced(), encode, Templates(("{} " + "n" * 100,), {"a": ("x",), "b": ("y",)}))
