"""Laws as the planner sees them: typed, read from a fit's JSON, with and without draws."""

import json

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.planning.law import Estimate, KnownLaw, load_law, parse_law
from tests.laws.planning.planner import EPOCH, epoch


def test_a_typed_law_predicts_by_its_equation():
    law = epoch()
    params, tokens = np.array([1e8, 7e10]), np.array([2e9, 1.4e12])
    expected = 1.8172 + 482.01 / params**0.3478 + 2085.43 / tokens**0.3658
    np.testing.assert_allclose(law.predict(params, tokens), expected, rtol=1e-13)
    assert law.draws(params, tokens).shape == (0, 2)
    no_floor = parse_law(EPOCH.replace("E=1.8172", "E=0"))
    np.testing.assert_allclose(no_floor.predict(params, tokens), expected - 1.8172, rtol=1e-13)


def test_a_fit_becomes_the_same_law_again():
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(7, 10, 40), 10 ** rng.uniform(9, 11, 40)
    fit = laws.fit_chinchilla(
        params, tokens, epoch().predict(params, tokens) * np.exp(rng.normal(0, 0.003, 40)), bootstrap=20
    )
    law = KnownLaw(fit.form, fit.params, fit.form.values(fit.samples))
    np.testing.assert_allclose(fit.form.theta_of(fit.params), fit.theta, rtol=1e-12)
    np.testing.assert_allclose(law.predict(params, tokens), fit.predict(params, tokens), rtol=1e-12)
    np.testing.assert_allclose(law.draws(params, tokens), fit.draws(params, tokens), rtol=1e-10)


def test_a_power_law_is_typed_too():
    law = parse_law("E=1.5,a=100,b=0.1", "power")
    assert law.predict(1e20)[0] == pytest.approx(1.5 + 100 * 1e20**-0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [("E=1,A=2", ["E, A", "alpha"]), (EPOCH + ",gamma=1", ["gamma"]), (EPOCH.replace("482.01", "many"), ["'many'", "number"]),
     (EPOCH.replace("1.8172", "-1"), ["E is -1.0", "0 or more"]), (EPOCH.replace("482.01", "nan"), ["A is nan", "finite"]),
     ("E", ["'E'"]), ("", ["''"]), ("E=1,E=2,A=1,alpha=1,B=1,beta=1", ["E=2", "once"])],
)  # fmt: skip
def test_wrong_typed_laws_are_one_clear_line(text, words):
    with pytest.raises(InputError) as caught:
        parse_law(text)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


def document(**changes):
    return {"form": "chinchilla", "params": epoch().params, "warnings": ["E is not identified"], **changes}


def test_a_law_is_read_from_json(tmp_path):
    path = tmp_path / "law.json"
    draws = {name: [value, value * 1.01] for name, value in epoch().params.items()}
    path.write_text(json.dumps(document(draws=draws, domain={"params": [1e7, 1e10]})))
    law = load_law(path)
    assert law.params == epoch().params and law.warnings == ["E is not identified"]
    assert law.domain == {"params": (1e7, 1e10)} and law.draws(1e9, 1e10).shape == (2, 1)
    path.write_text(json.dumps(document()))
    assert load_law(path).domain is None and load_law(path).sample_params == {}


@pytest.mark.parametrize(
    ("content", "word"),
    [("{", "not JSON"), ("[]", "params"), ("{}", "params"), (json.dumps(document(form="cubic")), "cubic"),
     (json.dumps(document(params={"E": 1})), "alpha"), (json.dumps(document(params={**epoch().params, "A": "x"})), "malformed"),
     (json.dumps(document(domain={"params": [1]})), "malformed"), (json.dumps(document(draws={"E": [1.0]})), "draws")],
)  # fmt: skip
def test_wrong_files_are_named(tmp_path, content, word):
    path = tmp_path / "law.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_law(path)
    assert str(path) in str(caught.value) and word in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"none.json"):
        load_law(tmp_path / "none.json")


def test_estimates_keep_what_is_infinite():
    some = Estimate.of(2.0, [1.0, 2.0, 3.0, np.inf])
    assert (some.low, some.high, some.unbounded) == (1.0, np.inf, 0.25)
    assert some.to_dict() == {"value": 2.0, "low": 1.0, "high": None, "unbounded": 0.25}
    assert Estimate.of(2.0, []).to_dict() == {"value": 2.0, "low": None, "high": None, "unbounded": 0.0}
