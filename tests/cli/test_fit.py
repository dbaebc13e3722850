"""``laimbench fit``: from a file or a store to a law, with all that it shows."""

import json
from pathlib import Path

import numpy as np
import pytest

from laimbench import laws
from laimbench.cli import main

CHINCHILLA = Path(laws.__file__).parent / "tables" / "chinchilla_epoch.csv"


@pytest.fixture
def table(tmp_path):
    """Forty runs of a known law, as somebody else would name the columns."""
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(6, 10, 40), 10 ** rng.uniform(8, 11, 40)
    loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(rng.normal(0, 0.003, 40))
    path = tmp_path / "runs.csv"
    rows = zip(params, tokens, loss, strict=True)
    path.write_text("Model Size,Training Tokens,val_loss,kind\n" + "".join(f"{n},{d},{y},a\n" for n, d, y in rows))
    return path


def fitted(capsys, *arguments):
    capsys.readouterr()
    assert main(["fit", *map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_published_table_and_anyones_parameters(capsys):
    claimed = "E=1.6934,A=406.4,alpha=0.3392,B=410.7,beta=0.2849"
    document = fitted(capsys, CHINCHILLA, "--where", "kept_by_epoch=1", "--bootstrap", "0", "--check", claimed)
    assert document["rows"] == 240 and document["objective"] == pytest.approx(1.018274018e-3, rel=1e-9)
    assert document["check"]["excess"] > 0.2 and not document["check"]["is_optimum"]
    assert document["verdict"]["agreeing"] == 1.0 and document["quality"]["counts"]["kept"] < 240


def test_strange_names_are_guessed_and_told(capsys, table):
    document = fitted(capsys, table, "--bootstrap", "30", "--profile", "--conventions")
    assert document["params"]["E"] == pytest.approx(1.7, abs=0.1)
    assert any("Model Size" in note for note in document["notes"])
    low, high = next(one for one in document["profiles"] if one["name"] == "alpha")["interval"]
    assert low < document["params"]["alpha"] < high
    assert [effect["flops"] for effect in document["conventions"]["effects"]] == ["6ND"]
    assert any("kaplan" in reason for reason in document["conventions"]["absent"])


def test_a_form_in_words_with_parameters_held_and_bounded(capsys, table):
    options = ("--form", "E + A/N^a + B/D^b", "--fix", "E=1.7", "--bound", "a=0:1,b=:0.5", "--bootstrap", "0")
    document = fitted(capsys, table, *options, "--loss-function", "squared")
    assert document["params"]["E"] == 1.7 and document["params"]["b"] <= 0.5 and document["loss_function"] == "squared"
    # The document names the form in words, so that it can be read back as a law.
    path = table.parent / "law.json"
    path.write_text(json.dumps(document))
    law = laws.load_law(path)
    assert law.predict(1e9, 1e10)[0] == pytest.approx(1.7 + document["params"]["A"] / 1e9 ** document["params"]["a"]
                                                      + document["params"]["B"] / 1e10 ** document["params"]["b"])  # fmt: skip


def test_a_store_is_a_table_of_its_runs(capsys, swept):
    document = fitted(
        capsys, swept, "--form", "power", "--where", "backend=laim and seed in (0, 1)", "--bootstrap", "20"
    )
    assert document["rows"] == 8 and document["variables"] == ["flops"]
    assert any("8 runs of 4 configurations" in note for note in document["notes"]), document["notes"]


def test_what_people_read(capsys, table):
    assert main(["fit", str(table), "--bootstrap", "30", "--check", "E=1.7,A=400,alpha=0.34,B=900,beta=0.31"]) == 0
    text = capsys.readouterr().out
    for words in ("L = E + A / N^alpha + B / D^beta", "40 runs", "starts agree", "95 % interval", "claimed"):
        assert words in text


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--fix", "E"), ["--fix", "'E'"]), (("--fix", "E=x"), ["--fix E", "'x'"]), (("--bound", "E=1"), ["E", "low:high"]),
     (("--where", "kind >"), ["filter"]), (("--where", "size > 3"), ["size"]), (("--form", "E + A/N^"), ["character"]),
     (("--metric", "f1"), ["f1"]), (("--check", "E=1"), ["alpha"]), (("--columns", "loss=nix"), ["nix"]),
     (("--quality", "maybe"), ["maybe"]), (("--flops", "exact"), ["width"])],
)  # fmt: skip
def test_wrong_options_are_one_clear_line(fails, table, options, words):
    line = fails(2, "fit", table, "--bootstrap", "0", *options)
    for word in words:
        assert word in line
