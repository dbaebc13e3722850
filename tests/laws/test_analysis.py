"""From a table to a law and what is said of it: quality, clusters, curves, checks, the document."""

import json
from pathlib import Path

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws import analysis
from laimbench.laws.analysis import Options, analyse

CHINCHILLA = Path(laws.__file__).parent / "tables" / "chinchilla_epoch.csv"
TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 900.0, "beta": 0.31}


def columns(rows=40, noise=0.003, seed=0, seeds=1):
    rng = np.random.default_rng(seed)
    params, tokens = (np.repeat(10 ** rng.uniform(*ends, rows), seeds) for ends in ((6, 10), (8, 11)))
    loss = laws.CHINCHILLA.at(laws.CHINCHILLA.theta_of(TRUTH), params, tokens)
    return {"params": params, "tokens": tokens, "loss": loss * np.exp(rng.normal(0, noise, rows * seeds))}


def table(**changes):
    return laws.from_columns(columns() | changes)


def test_claimed_parameters_are_judged_on_the_same_rows():
    found = analyse(laws.read_table(CHINCHILLA, where="kept_by_epoch=1"), Options(bootstrap=0, quality="off"))
    theirs = {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658}
    check = analysis.check(found.fit, theirs)
    assert check["ours"] == pytest.approx(1.018274018e-3, rel=1e-9)
    assert check["ours"] < check["objective"] < 1.02 * check["ours"] and not check["is_optimum"]
    assert analysis.check(found.fit, found.fit.params)["is_optimum"]
    with pytest.raises(InputError, match="beta"):
        analysis.check(found.fit, {name: 1.0 for name in ("E", "A", "alpha", "B")})


def test_runs_in_doubt_are_kept_or_dropped_and_the_other_choice_is_shown():
    twice = {name: np.insert(values, 7, values[6]) for name, values in columns().items()}
    runs = laws.from_columns(twice)
    flagged, dropped = analyse(runs, Options(bootstrap=0)), analyse(runs, Options(bootstrap=0, quality="drop"))
    assert (flagged.fit.rows, flagged.other.rows, dropped.fit.rows, dropped.other.rows) == (41, 40, 40, 41)
    assert flagged.other.params == dropped.fit.params and 7 not in dropped.used
    assert dropped.to_dict()["quality"]["dropped"] == [{"row": 8, "code": "duplicate", "detail": "the same as row 7"}]
    ignored = analyse(runs, Options(bootstrap=0, quality="off"))
    assert ignored.review is None and ignored.other is None and ignored.fit.params == flagged.fit.params


def test_a_run_without_a_result_is_left_out_and_told():
    loss = columns()["loss"]
    loss[[3, 5]] = np.nan
    for quality in analysis.QUALITY:
        found = analyse(table(loss=loss), Options(bootstrap=0, quality=quality))
        assert found.fit.rows == 38 and any("rows 4, 6" in note for note in found.notes)
    with pytest.raises(InputError, match="no row has a finite loss"):
        analyse(table(loss=np.full(40, np.nan)))


def test_seeds_of_a_configuration_are_one_cluster_and_curves_give_their_last_row():
    seeded = laws.from_columns(columns(20, seeds=3) | {"seed": np.tile([0, 1, 2], 20)})
    found = analyse(seeded, Options(bootstrap=20))
    assert found.fit.resampling.kind == "clusters" and found.fit.effective_runs <= 60
    assert any("60 runs of 20 configurations" in note for note in found.notes)
    assert analyse(seeded, Options(bootstrap=20, clusters="none")).fit.resampling.kind == "rows"

    ends = columns(20)
    curves = {name: np.repeat(values, 2) for name, values in ends.items()}
    curves["loss"] = curves["loss"] * np.tile([1.3, 1.0], 20)
    curves |= {"run": np.repeat([f"r{i}" for i in range(20)], 2), "step": np.tile([1, 2], 20)}
    curved = analyse(laws.from_columns(curves), Options(bootstrap=0))
    plain = analyse(laws.from_columns(ends), Options(bootstrap=0))
    assert curved.fit.params == plain.fit.params and curved.fit.rows == 20


def test_the_document_is_enough_to_redo_the_fit_and_to_plan():
    options = Options(bootstrap=20, fixed={"E": 1.7}, bounds={"alpha": (0.0, 1.0)})
    found = analyse(table(), options)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    data = document["data"]
    again = laws.fit_chinchilla(
        data["params"], data["tokens"], data["loss"], bootstrap=20, fixed=document["options"]["fixed"],
        bounds=document["options"]["bounds"],
    )  # fmt: skip
    assert again.params == document["params"] and again.objective == document["objective"]
    assert document["fixed"] == {"E": 1.7} and "E" not in document["intervals"]
    assert set(document["domain"]) == {"params", "tokens", "flops"} and len(document["draws"]["alpha"]) == 20


@pytest.mark.parametrize(
    ("form", "variables"),
    [("power", ("tokens_per_param",)), ("power", ()), ("E + A/N^a + B/D^b", ()), ("broken", ("tokens",))],
)
def test_every_form_finds_its_columns(form, variables):
    found = analyse(table(), Options(form=form, variables=variables, bootstrap=0))
    assert found.fit.rows == 40 and found.to_dict()["variables"] == list(found.fit.form.variables)


def test_a_bounded_metric_rises_with_compute():
    rng = np.random.default_rng(1)
    flops = np.geomspace(1e18, 1e24, 30)
    accuracy = 0.25 + 0.65 / (1 + (flops / 1e21) ** -0.8) + rng.normal(0, 0.005, 30)
    runs = laws.from_columns({"flops": flops, "accuracy": accuracy})
    found = analyse(runs, Options(form="sigmoid", target="accuracy", bootstrap=40)).fit
    for name, truth in {"floor": 0.25, "ceiling": 0.9, "k": 0.8, "x_half": 1e21}.items():
        low, high = found.intervals[name]
        assert low < truth < high, name
    with pytest.raises(InputError, match="metric"):
        analyse(
            laws.from_columns({"flops": flops, "accuracy": accuracy * 100}), Options(form="sigmoid", target="accuracy")
        )


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"form": "cubic"}, "cubic"), ({"form": "E + A/X^a"}, "X"), ({"target": "f1"}, "f1"), ({"quality": "maybe"}, "maybe"),
     ({"form": "repeated"}, "unique_tokens"), ({"clusters": "pod"}, "pod"), ({"fixed": {"gamma": 1}}, "gamma"),
     ({"bounds": {"alpha": (1, 0)}}, "alpha"), ({"loss_function": "l3"}, "l3"), ({"delta": -1.0}, "delta"),
     ({"flops_convention": "exact"}, "width"), ({"resampling": "jack"}, "jack"), ({"form": "power", "variables": ("a", "b")}, "a, b")],
)  # fmt: skip
def test_wrong_options_are_one_clear_line(changes, word):
    with pytest.raises(InputError) as caught:
        analyse(table(), Options(**({"bootstrap": 5} | changes)))
    assert word in str(caught.value) and "\n" not in str(caught.value)
