"""Gradients against finite differences, optima against the planner's."""

import subprocess
import sys

import numpy as np
import pytest

from laimbench import laws
from laimbench.design import Speedup, exponent, optimum, parse_question, prediction
from laimbench.design.prior import plausible_laws
from laimbench.design.quantities import log_loss, log_loss_gradient
from laimbench.errors import InputError

PARAMS, TOKENS = np.array([1e5, 1e6, 1e6]), np.array([1e7, 1e7, 1e8])
LAWS = plausible_laws(np.log(PARAMS), np.log(TOKENS))
STEP = 1e-6


def by_differences(function, theta):
    steps = STEP * np.eye(theta.shape[-1])
    return np.stack([(function(theta + step) - function(theta - step)) / (2 * STEP) for step in steps], axis=-1)


@pytest.mark.parametrize("quantity", [exponent(), optimum(1e16), prediction(1e16)], ids=lambda q: q.name)
def test_gradients_are_those_of_the_values(quantity):
    assert quantity.gradient(LAWS) == pytest.approx(by_differences(quantity.value, LAWS), rel=1e-5, abs=1e-7)
    assert quantity.gradient(LAWS[0]) == pytest.approx(quantity.gradient(LAWS)[0])


def test_the_gradient_of_log_loss():
    expected = by_differences(lambda theta: log_loss(theta, np.log(PARAMS), np.log(TOKENS)), LAWS)
    assert log_loss_gradient(LAWS, np.log(PARAMS), np.log(TOKENS)) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_the_gradient_of_a_pair_is_that_of_more_tokens():
    where = Speedup(6 * PARAMS[1] * TOKENS[1])
    found = where.observed(LAWS, np.log(PARAMS), np.log(TOKENS))
    more = (
        log_loss(LAWS, np.log(PARAMS), np.log(TOKENS) + STEP) - log_loss(LAWS, np.log(PARAMS), np.log(TOKENS) - STEP)
    ) / (2 * STEP)
    assert found[..., 0] == pytest.approx(more, rel=1e-5)
    assert found[:, 1, 1] == pytest.approx(0) and found[:, 2, 1] == pytest.approx(more[:, 2] * np.log(10))


def test_values_are_those_of_the_planner():
    theta, compute = LAWS[0], 1e16
    law = laws.planning.law.KnownLaw(laws.CHINCHILLA, {k: float(v) for k, v in laws.CHINCHILLA.values(theta).items()})
    best = laws.allocate(law, compute)
    assert optimum(compute).natural(optimum(compute).value(theta)) == pytest.approx(best.params.value)
    assert prediction(compute).natural(prediction(compute).value(theta)) == pytest.approx(best.loss.value)
    assert log_loss(theta, np.log(PARAMS), np.log(TOKENS)) == pytest.approx(np.log(law.predict(PARAMS, TOKENS)))


def test_questions_are_read():
    assert parse_question("exponent") == ("exponent", None)
    assert parse_question("optimum") == ("optimum", None)
    assert parse_question("prediction@1e21") == ("prediction", 1e21)
    for wrong in ("exponents", "prediction", "exponent@1e20", "optimum@", "speedup@5x", ""):
        with pytest.raises(InputError):
            parse_question(wrong)


def test_designs_need_no_torch():
    code = "import sys, laimbench.design, laimbench.design.costs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
