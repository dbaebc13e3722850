"""Other people's column names: guessed where one meaning is known, refused where two are, and always by the user's word."""

import pytest

from laimbench.errors import InputError
from laimbench.laws.columns import KNOWN, match_columns, parse_columns


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [(["params", "tokens", "flops", "loss"], None, {n: n for n in ("params", "tokens", "flops", "loss")}),
     (["Model Size", "Training FLOP", "final_loss"], None, {"params": "Model Size", "flops": "Training FLOP", "loss": "final_loss"}),
     (["N", "D", "C", "L"], None, {"params": "N", "tokens": "D", "flops": "C", "loss": "L"}),
     (["n_params", "train_tokens", "val_loss", "train_loss"], None,
      {"params": "n_params", "tokens": "train_tokens", "loss": "val_loss"}),
     (["n", "d", "c", "l"], None, {}),
     (["config.n_layer", "config.lr", "summary/loss", "F1 score"], None,
      {"depth": "config.n_layer", "lr": "config.lr", "loss": "summary/loss", "f1": "F1 score"}),
     (["Model Size", "D", "C", "val"], "params=Model Size,tokens=D|flops=C,loss=val",
      {"params": "Model Size", "tokens": "D", "loss": "val", "flops": "C"}),
     (["C", "loss"], "tokens=D|flops=C", {"flops": "C", "loss": "loss"}),
     (["a,b", "x=y"], 'params="a,b",loss=`x=y`', {"params": "a,b", "loss": "x=y"}),
     (["N", "n_params"], {"params": "N"}, {"params": "N"}), (["params", "N"], None, {"params": "params"}),
     (["lr", "a"], "temperature=a", {"lr": "lr", "temperature": "a"})],
)  # fmt: skip
def test_columns_are_found(names, wanted, expected):
    assert match_columns(names, wanted).names == expected


def test_guesses_and_units_of_headings_are_noted():
    found = match_columns(["Model Size (B)", "tokens [1e9]", "pf-days", "val_loss", "train_loss", "loss_scale"])
    assert found.factors == {"params": 1e9, "tokens": 1e9, "flops": 8.64e19}
    notes = "\n".join(found.notes)
    assert "params is read from column 'Model Size (B)'" in notes and "times 1e+09" in notes
    assert "'val_loss' (not train_loss)" in notes
    assert match_columns(["params", "loss"]).notes == []


def test_two_columns_that_may_be_one_are_an_error_that_says_how_to_decide():
    with pytest.raises(InputError, match=r"'N' and 'n_params' may each be params; decide by --columns params=NAME"):
        match_columns(["N", "n_params", "loss"])
    found = match_columns(["loss", "max_lr", "peak_lr"])
    assert "lr" not in found.names and "decide by --columns lr=NAME" in found.notes[0]


@pytest.mark.parametrize(
    ("names", "wanted", "words"),
    [(["a", "b"], "params=x", ["'x'", "a, b"]), (["a"], "params=x|tokens=y", ["'x' or 'y'"]), (["a"], "params", ["OURS=THEIRS"]),
     (["a"], "params=", ["OURS=THEIRS"]), (["a"], "params=a=a", ["OURS=THEIRS"]), (["a"], "loss=a,loss=a", ["loss", "twice"])],
)  # fmt: skip
def test_wrong_mappings_are_named(names, wanted, words):
    with pytest.raises(InputError) as caught:
        match_columns(names, wanted)
    for word in words:
        assert word in str(caught.value)


def test_no_synonym_has_two_meanings():
    synonyms = [name for known in KNOWN.values() for tier in known.tiers for name in tier.split()]
    assert len(synonyms) == len(set(synonyms))
    for name in KNOWN:
        assert match_columns([name]).names == {name: name}


def test_alternatives_are_parsed_in_order():
    assert parse_columns("tokens=D|flops=C, loss=val") == [[("tokens", "D"), ("flops", "C")], [("loss", "val")]]
