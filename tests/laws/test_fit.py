"""Fits: the published table, known laws recovered, what cannot be known said, wrong input named."""

from pathlib import Path

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError

TABLES = Path(laws.__file__).parent / "tables"


@pytest.fixture(scope="module")
def chinchilla():
    return laws.read_table(TABLES / "chinchilla_epoch.csv", where={"kept_by_epoch": "1"}).runs()


def simulated(rows=120, noise=0.003, seed=0):
    rng = np.random.default_rng(seed)
    params, tokens = 10 ** rng.uniform(6, 10, rows), 10 ** rng.uniform(8, 11, rows)
    loss = 1.7 + 400 / params**0.34 + 900 / tokens**0.31
    return params, tokens, loss * np.exp(rng.normal(0, noise, rows))


def test_the_published_table_reaches_its_optimum(chinchilla):
    fit = laws.fit_chinchilla(chinchilla["params"], chinchilla["tokens"], chinchilla["loss"], bootstrap=0)
    assert fit.rows == 240
    assert fit.objective == pytest.approx(1.018274018e-3, rel=1e-9)
    expected = {"E": 1.81722, "A": 477.826, "B": 2143.417, "alpha": 0.34731, "beta": 0.36717}
    for name, value in expected.items():
        assert fit.params[name] == pytest.approx(value, rel=1e-5)


def test_a_known_law_is_recovered_within_its_intervals():
    params, tokens, loss = simulated()
    fit = laws.fit_chinchilla(params, tokens, loss, bootstrap=200)
    truth = {"E": 1.7, "A": 400, "alpha": 0.34, "B": 900, "beta": 0.31}
    for name, value in truth.items():
        low, high = fit.intervals[name]
        assert low < value < high, name
    exact = laws.fit_chinchilla(*simulated(noise=0.0), bootstrap=0)
    assert exact.params["E"] == pytest.approx(1.7, rel=1e-4)


def test_power_law_and_its_band():
    compute = np.geomspace(1e15, 1e19, 40)
    loss = (2.0 + 5e3 * compute**-0.2) * np.exp(np.random.default_rng(1).normal(0, 0.002, 40))
    fit = laws.fit_power_law(compute, loss, bootstrap=200)
    assert fit.params["b"] == pytest.approx(0.2, abs=0.02)
    low, high = fit.band(compute)
    middle = fit.predict(compute)
    assert (
        (low <= middle).all() and (middle <= high).all() and ((high - low) / middle < 5 * 0.002).all()
    )  # five times the noise of one run


def test_units_and_row_order_do_not_matter():
    params, tokens, loss = simulated(60)
    first = laws.fit_chinchilla(params, tokens, loss, bootstrap=0)
    order = np.random.default_rng(3).permutation(60)
    second = laws.fit_chinchilla(params[order] / 1e6, tokens[order] / 1e9, loss[order], bootstrap=0)
    assert second.objective == pytest.approx(first.objective, rel=1e-8)
    for name in ("E", "alpha", "beta"):
        assert second.params[name] == pytest.approx(first.params[name], rel=1e-4)


def test_the_same_seed_gives_the_same_intervals_and_clusters_widen_them():
    params, tokens, loss = simulated(60, noise=0.01)
    once, twice = (laws.fit_chinchilla(params, tokens, loss, bootstrap=50, seed=4).intervals for _ in range(2))
    assert once == twice
    repeated = [np.repeat(column, 5) for column in (params, tokens, loss)]
    rows = laws.fit_chinchilla(*repeated, bootstrap=100).intervals["E"]
    clusters = laws.fit_chinchilla(*repeated, bootstrap=100, clusters=np.repeat(np.arange(60), 5)).intervals["E"]
    assert clusters[1] - clusters[0] > 1.3 * (rows[1] - rows[0])


def test_what_cannot_be_known_is_said():
    one_size = laws.fit_chinchilla(np.full(10, 1e8), np.geomspace(1e8, 1e10, 10), np.linspace(4, 3, 10), bootstrap=20)
    assert any("params takes 1 value only" in warning for warning in one_size.warnings)
    equal = laws.fit_power_law(np.geomspace(1, 1e3, 8), np.full(8, 3.0), bootstrap=20)
    assert any("all losses are equal" in warning for warning in equal.warnings)
    straight = laws.fit_power_law(np.geomspace(1e3, 1e6, 12), 50 * np.geomspace(1e3, 1e6, 12) ** -0.1, bootstrap=50)
    assert any("E is not identified" in warning for warning in straight.warnings)


@pytest.mark.parametrize(
    ("compute", "loss", "word"),
    [([1, 2], [3, 2], "rows"), ([1, 2, -3], [3, 2, 1], "flops"), ([1, 2, 3], [3, 2, float("nan")], "loss"),
     ([1, 2, 3], [3, 2], "rows")],
)  # fmt: skip
def test_wrong_columns_are_named(compute, loss, word):
    with pytest.raises(InputError, match=word):
        laws.fit_power_law(compute, loss)


def test_laws_need_no_torch():
    import subprocess
    import sys

    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError('torch')\n"
        "sys.meta_path.insert(0, Block())\n"
        "from laimbench import laws; print(laws.CHINCHILLA.name)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "chinchilla\n"
