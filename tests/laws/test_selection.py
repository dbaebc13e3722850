"""Model selection: the truth wins where data can tell, and where they cannot they say so."""

import json

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.selection import select_form


def table(sigma, seed=0, rows=90, law=lambda n, d: 1.7 + 400 / n**0.34 + 900 / d**0.31):
    generator = np.random.default_rng(seed)
    params, tokens = 10 ** generator.uniform(6.5, 9.5, rows), 10 ** generator.uniform(8, 10.5, rows)
    return {"params": params, "tokens": tokens, "loss": law(params, tokens) * np.exp(generator.normal(0, sigma, rows))}


def kaplan(params, tokens):
    return ((8.8e13 / params) ** (0.076 / 0.095) + 5.4e13 / tokens) ** 0.095


@pytest.mark.parametrize(("truth", "law"), [("chinchilla", None), ("kaplan", kaplan)])
def test_the_true_form_wins_where_data_can_tell(truth, law):
    runs = table(0.002) if law is None else table(0.002, law=law)
    found = select_form(runs, ("kaplan", "power", "chinchilla"))
    assert found.candidates[0].name == truth
    assert {d.other for d in found.differences if d.told} >= {"power"}
    if truth == "chinchilla":  # Chinchilla's form comes close to Kaplan's, not the other way round
        assert found.best == "chinchilla"
        kaplans = next(c for c in found.candidates if c.name == "kaplan")
        assert kaplans.error.value > 3 * found.candidates[0].error.value
        assert kaplans.left_out_size.rms > found.candidates[0].left_out_size.rms


def test_forms_that_data_cannot_tell_apart_are_said_to_be_so():
    found = select_form(table(0.05), ("chinchilla", "kaplan", "E + A/N^a + B/D^a"))
    assert found.best is None
    assert "cannot tell" in found.statement
    same = select_form(table(0.003), ("chinchilla", "E + A/N^alpha + B/D^beta"))
    (difference,) = same.differences
    assert not difference.told and difference.difference.value == pytest.approx(0.0, abs=1e-6)
    assert "cannot tell the forms apart" in same.statement


def test_cuts_count_their_rows_and_refuse_where_they_are_few():
    runs = table(0.003)
    flops = np.sort(6 * runs["params"] * runs["tokens"])
    found = select_form(runs, ("chinchilla", "power"), cuts=(flops[3], flops[50], flops[88]), bootstrap=0)
    few, good, last = found.cuts
    assert few.below == 4 and "below" in few.refused and "10" in few.refused
    assert good.refused is None and (good.below, good.above) == (51, 39)
    assert good.reach == pytest.approx(flops[-1] / flops[50])
    assert last.above == 1 and "above" in last.refused
    assert all(not d.told and "no bootstrap" in d.reason for d in found.differences)
    nothing = select_form(runs, ("chinchilla",), cuts=(flops[0],), bootstrap=0)
    assert "cannot be known" in nothing.statement and nothing.best is None
    json.dumps(nothing.to_dict(), allow_nan=False)


def test_errors_are_those_of_a_fit_below_the_cut():
    runs = table(0.003)
    flops = 6 * runs["params"] * runs["tokens"]
    cut = float(np.median(flops))
    found = select_form(runs, ("chinchilla",), cuts=(cut,), bootstrap=0).cuts[0].scores["chinchilla"]
    below = flops <= cut
    fit = laws.fit_chinchilla(*(runs[name][below] for name in ("params", "tokens", "loss")), bootstrap=0)
    errors = np.log(fit.predict(runs["params"][~below], runs["tokens"][~below])) - np.log(runs["loss"][~below])
    assert found.bias == pytest.approx(errors.mean(), rel=1e-4)
    assert found.rms == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert found.median == pytest.approx(np.median(np.abs(errors)), rel=1e-4)


def test_a_size_left_out_is_predicted_by_a_fit_without_it():
    generator = np.random.default_rng(0)
    params = np.repeat(np.geomspace(1e7, 1e9, 6), 8)
    tokens = np.tile(np.geomspace(1e8, 1e10, 8), 6)
    loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(generator.normal(0, 0.003, 48))
    found = select_form({"params": params, "tokens": tokens, "loss": loss}, ("chinchilla",), bootstrap=20)
    assert found.resampled == "sizes"
    errors = []
    for size in np.unique(params):
        kept = params != size
        fit = laws.fit_chinchilla(params[kept], tokens[kept], loss[kept], bootstrap=0)
        errors.append(np.log(fit.predict(params[~kept], tokens[~kept])) - np.log(loss[~kept]))
    assert found.candidates[0].left_out_size.rms == pytest.approx(
        np.sqrt(np.mean(np.concatenate(errors) ** 2)), rel=1e-3
    )


def test_forms_that_rows_do_not_allow_are_absent_with_a_reason():
    compute = np.geomspace(1e17, 1e21, 24)
    loss = 2 + 3e2 * compute**-0.15
    found = select_form({"flops": compute, "loss": loss}, ("chinchilla", "power"), bootstrap=20)
    assert "params" in found.absent["chinchilla"] and [c.name for c in found.candidates] == ["power"]
    small = select_form({"flops": compute[:8], "loss": loss[:8]}, ("broken", "power"), bootstrap=0)
    assert "24 for 6 parameters" in small.absent["broken"] and "12" in small.absent["power"]
    assert small.statement == "no form can be fitted to these rows"
    json.dumps(small.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("runs", "forms", "options", "word"),
    [({"loss": [3.0]}, ("power",), {}, "flops"), ({"flops": [1e18, 0], "loss": [3.0, 3.0]}, ("power",), {}, r"flops\[1\]"),
     (table(0.01), ("sigmoid",), {}, "bounded"), (table(0.01), ("power",), {"cuts": (-1.0,)}, "cuts"),
     (table(0.01), ("power",), {"by": "seeds"}, "sizes"), (table(0.01), ("nonsense",), {}, "nonsense")],
)  # fmt: skip
def test_wrong_input_is_named(runs, forms, options, word):
    with pytest.raises(InputError, match=word):
        select_form(runs, forms, **options)
