"""Approaches 1 to 3: known frontiers recovered, edges refused, planted causes found and named, clean data left alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.approaches import Absent, Rows, compare, fit_envelope, fit_isoflop, of_law

TABLES = Path(laws.__file__).parent / "tables"
E, A, ALPHA, B, BETA = 1.7, 400.0, 0.34, 900.0, 0.31
EXPONENT = BETA / (ALPHA + BETA)
BUDGETS = (1e17, 3e17, 1e18, 3e18, 1e19, 3e19)


def law(params, tokens):
    return E + A / params**ALPHA + B / tokens**BETA


def optimum(compute):
    return np.exp((BETA * np.log(compute / 6) + np.log(ALPHA * A / (BETA * B))) / (ALPHA + BETA))


def noise(generator, sigma, rows):
    return np.exp(generator.normal(0, sigma, rows))


def isoflops(seed=0, sigma=0.003, budgets=BUDGETS, sizes=9, width=4.0, centre=1.0):
    generator = np.random.default_rng(seed)
    compute = np.repeat(budgets, sizes)
    params = optimum(compute) * centre * np.tile(np.geomspace(1 / width, width, sizes), len(budgets))
    tokens = compute / (6 * params)
    return {"params": params, "tokens": tokens, "budget": compute,
            "loss": law(params, tokens) * noise(generator, sigma, len(params))}  # fmt: skip


def run(name, params, tokens, loss):
    return {"run": np.full(len(tokens), name), "params": np.full(len(tokens), params), "tokens": tokens, "loss": loss}


def joined(tables):
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def curves(seed=0, sigma=0.002, sizes=16):
    generator = np.random.default_rng(seed)
    tables = []
    for i, params in enumerate(np.geomspace(1e7, 3e9, sizes)):
        tokens = np.geomspace(2 * params, 200 * params, 60)
        loss = law(params, tokens) * noise(generator, sigma, 1) * noise(generator, sigma / 3, 60)
        tables.append(run(f"r{i}", params, tokens, loss))
    return joined(tables)


def ladder(seed, sigma):
    """All approaches at once: curves whose ends stand on isoFLOPs."""
    generator = np.random.default_rng(seed)
    ends = isoflops(seed, 0.0, sizes=9, width=5.0)
    tables = []
    for i, (params, tokens) in enumerate(zip(ends["params"], ends["tokens"], strict=True)):
        seen = np.geomspace(tokens / 30, tokens, 40)
        loss = law(params, seen) * noise(generator, sigma, 1) * noise(generator, sigma / 3, 40)
        tables.append(run(f"r{i}", params, seen, loss))
    return joined(tables)


def undecayed(seed=0, excess=0.1, sigma=0.002):
    """IsoFLOP runs that are decayed, and long runs whose losses lie high until their learning rate has decayed."""
    generator = np.random.default_rng(seed)
    sizes, tables = np.geomspace(5e6, 4e9, 40), []
    for i, params in enumerate(sizes):
        tokens = np.geomspace(2e8, 6e10, 60)
        loss = law(params, tokens) * np.exp(excess * (1 - tokens / tokens[-1]))
        tables.append(
            run(f"long{i}", params, tokens, loss * noise(generator, sigma, 1) * noise(generator, sigma / 3, 60))
        )
    for compute in BUDGETS:
        for i, params in enumerate(sizes):
            tokens = np.array([compute / (6 * params)])
            if abs(np.log(params / optimum(compute))) < 1.7 and tokens[0] < 5.5e10:
                tables.append(run(f"{compute:g}-{i}", params, tokens, law(params, tokens) * noise(generator, sigma, 1)))
    return joined(tables)


def with_embeddings(seed=0, sigma=0.001):
    """A law in parameters without embeddings; the table's params count them, as many as 84 % of the smallest model."""
    generator = np.random.default_rng(seed)
    grid = np.geomspace(2e5, 1e9, 400)
    total = grid + 2e4 * grid ** (1 / 3)
    params, tokens = [], []
    for compute in np.geomspace(3e16, 3e18, 6):
        best = total[law(grid, compute / (6 * total)).argmin()]
        params.append(best * np.geomspace(1 / 4, 4, 9))
        tokens.append(compute / (6 * params[-1]))
    params.append(np.exp(generator.uniform(np.log(total[0] * 1.05), np.log(total[0] * 30), 80)))
    tokens.append(np.exp(generator.uniform(np.log(3e6), np.log(3e8), 80)))
    params, tokens = np.concatenate(params), np.concatenate(tokens)
    bare = np.interp(params, total, grid)
    loss = law(bare, tokens) * noise(generator, sigma, len(params))
    return {"params": params, "params_non_embedding": bare, "tokens": tokens, "loss": loss}


def warming_up(seed=1, excess=0.1, sigma=0.002):
    """IsoFLOP runs, and others of which those of few tokens lie above the trend."""
    generator = np.random.default_rng(seed + 100)
    table = isoflops(seed, sigma, budgets=(1e18, 3e18, 1e19, 3e19, 1e20))
    params, tokens = 10 ** generator.uniform(7.5, 9.5, 40), 10 ** generator.uniform(8.3, 10.3, 40)
    others = {"params": params, "tokens": tokens, "loss": law(params, tokens) * noise(generator, sigma, 40)}
    table = joined([{name: table[name] for name in others}, others])
    return table | {"loss": table["loss"] * np.exp(excess * (table["tokens"] < 8e8))}


def published(outliers):
    table = laws.read_table(TABLES / "chinchilla_isoflop.csv", where=None if outliers else {"outlier": "0"})
    return table.runs()


def test_vertices_give_the_known_exponents():
    found = fit_isoflop(Rows.of(isoflops()))
    assert found.a.low < EXPONENT < found.a.high and found.a.high - found.a.low < 0.04
    assert found.b.low < 1 - EXPONENT < found.b.high
    split = found.at(1e18)
    assert split.params.low < optimum(1e18) < split.params.high
    assert split.tokens_per_param.value == pytest.approx(split.tokens.value / split.params.value, rel=1e-9)
    assert split.extrapolation == 1.0 and found.at(3e20).extrapolation == pytest.approx(10.0)


def test_intervals_of_the_exponent_cover():
    inside = [(f := fit_isoflop(Rows.of(isoflops(seed, sizes=5)))).a.low <= EXPONENT <= f.a.high for seed in range(200)]
    # 95 % of 200 within three standard errors below; above, the scatter's rule errs on the wide side
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


def test_far_sizes_pull_the_vertex_and_the_interval_knows():
    found = fit_isoflop(Rows.of(isoflops(sigma=1e-5, width=10.0)))
    assert found.is_skewed
    pull = found.at(1e18).params.value / optimum(1e18)
    assert abs(pull - 1) > 0.01
    assert found.at(1e18).params.low < optimum(1e18) < found.at(1e18).params.high
    near = fit_isoflop(Rows.of(isoflops(sigma=1e-5, width=10.0, sizes=15)), within=2.0)
    assert abs(near.at(1e18).params.value / optimum(1e18) - 1) < 0.3 * abs(pull - 1)


def test_edges_flat_and_short_budgets_are_refused_with_reasons():
    good = isoflops()
    edge = isoflops(budgets=(1e20,), centre=20.0)
    short = isoflops(budgets=(3e20,), sizes=3)
    flat = isoflops(budgets=(1e21,), sizes=5, width=1.2)
    found = fit_isoflop(Rows.of(joined([good, edge, short, flat])))
    reasons = {f"{refusal.low:.0e}": refusal.reason for refusal in found.refused}
    assert "edge" in reasons["1e+20"] and "4 sizes" in reasons["3e+20"]
    assert "flat" in reasons["1e+21"] or "minimum" in reasons["1e+21"]
    assert len(found.points) == len(BUDGETS)
    clean = fit_isoflop(Rows.of(good))
    assert found.a.value == pytest.approx(clean.a.value, abs=0.02)


def test_budgets_are_found_where_no_column_names_them():
    table = isoflops()
    wobble = np.random.default_rng(0).uniform(0.998, 1.002, len(table["tokens"]))
    named = fit_isoflop(Rows.of(table))
    table = {name: column for name, column in table.items() if name != "budget"} | {"tokens": table["tokens"] * wobble}
    found = fit_isoflop(Rows.of(table))
    assert len(found.points) == len(BUDGETS)
    assert found.a.value == pytest.approx(named.a.value, abs=0.005)


def test_the_published_isoflops():
    without = fit_isoflop(Rows.of(published(outliers=False)))
    assert without.a.value == pytest.approx(0.532, abs=0.002)  # Hoffmann et al. 2022, table 2: 0.49
    assert without.a.low < 0.49 < without.a.high
    assert without.b.value == pytest.approx(1 - without.a.value, abs=1e-6)
    all_rows = fit_isoflop(Rows.of(published(outliers=True)))
    assert len(all_rows.points) + len(all_rows.refused) == 9
    assert any("differ in noise" in note for note in all_rows.notes)
    assert all_rows.a.low < without.a.value < all_rows.a.high


def test_the_envelope_gives_the_known_exponent_and_refuses_edges():
    found = fit_envelope(Rows.of(curves()), bootstrap=100)
    assert found.a.low < EXPONENT < found.a.high
    assert found.a.value == pytest.approx(EXPONENT, abs=0.03)
    reasons = " ".join(refusal.reason for refusal in found.refused)
    assert "smallest" in reasons and "largest" in reasons
    assert len(found.points) + sum(refusal.points for refusal in found.refused) == 300
    sizes = {round(point.params.value) for point in found.points}
    assert min(sizes) > 1.1e7 and max(sizes) < 2.9e9


def test_smoothing_keeps_a_law_and_calms_noise():
    rough = curves(sigma=0.0)
    jitter = noise(np.random.default_rng(1), 0.01, len(rough["loss"]))
    exact = fit_envelope(Rows.of(rough), bootstrap=0)
    noisy = [fit_envelope(Rows.of(rough | {"loss": rough["loss"] * jitter}), smooth=s, bootstrap=0) for s in (0.0, 0.3)]
    off = [abs(np.log(f.at(1e19).params.value / exact.at(1e19).params.value)) for f in noisy]
    assert off[1] < off[0]
    assert noisy[1].a.value == pytest.approx(exact.a.value, abs=0.05)


def test_the_parametric_frontier_is_in_closed_form_and_by_search_the_same():
    table = isoflops(sigma=0.0)
    rows = Rows.of(table)
    closed = laws.fit_runs(rows.columns, bootstrap=0)
    text = laws.parse_form("E + A/N^alpha + B/D^beta")
    searched = laws.fit_runs(rows.columns, text, bootstrap=0)
    first, second = of_law(closed, rows), of_law(searched, rows)
    assert first.a.value == pytest.approx(EXPONENT, abs=1e-4)
    assert second.a.value == pytest.approx(first.a.value, abs=1e-3)
    assert second.at(1e18).params.value == pytest.approx(first.at(1e18).params.value, rel=1e-3)
    assert first.at(1e18).params.value == pytest.approx(optimum(1e18), rel=1e-3)


def test_other_counts_of_flops_are_followed():
    table = isoflops(sigma=0.0)
    table = {name: table[name] for name in ("params", "tokens", "loss")} | {
        "flops": 3 * table["params"] ** 0.9 * table["tokens"]
    }
    rows = Rows.of(table)
    found = of_law(laws.fit_runs(rows.columns, bootstrap=0), rows)
    assert found.a.value == pytest.approx(BETA / (ALPHA + 0.9 * BETA), abs=1e-3)
    sizes = np.geomspace(1e6, 1e10, 4001)
    best = sizes[law(sizes, 1e18 / (3 * sizes**0.9)).argmin()]
    assert found.at(1e18).params.value == pytest.approx(best, rel=0.01)


def test_what_rows_do_not_allow_is_absent_with_a_reason_and_the_rest_goes_on():
    found = compare(isoflops(), bootstrap=40)
    assert isinstance(found.approaches[1], Absent) and "curves" in found.approaches[1].reason
    assert set(found.splits) == {2, 3}
    one_line = compare(curves(), bootstrap=40)  # every run ends at 200 tokens per parameter
    assert not isinstance(one_line.approaches[1], Absent)
    assert "budgets" in one_line.approaches[2].reason and "vary together" in one_line.approaches[3].reason
    few = compare({"params": [1e8, 2e8], "tokens": [1e9, 2e9], "loss": [3.0, 2.9]}, bootstrap=10)
    assert all(isinstance(approach, Absent) for approach in few.approaches.values())
    json.dumps(few.to_dict(), allow_nan=False)


@pytest.mark.parametrize("sigma", [0.001, 0.005])
def test_clean_ladders_are_not_flagged(sigma):
    flagged = 0
    for seed in range(4):
        found = compare(ladder(seed, sigma), bootstrap=40)
        assert len(found.splits) == 3
        flagged += bool(found.disagreements)
    assert flagged <= 1  # 5 % of comparisons at most are meant to be: more than one of four has a chance of 1.4 %


def test_undecayed_curves_are_found_and_named():
    found = compare(undecayed(), bootstrap=60)
    pairs = {(d.first, d.second) for d in found.disagreements}
    assert (1, 2) in pairs and (1, 3) in pairs and (2, 3) not in pairs
    for disagreement in found.disagreements:
        assert disagreement.likely[0] == "decay not finished"
        assert "decay not finished" in disagreement.statement
    clean = compare(undecayed(excess=0.0), bootstrap=60)
    assert not clean.disagreements
    assert not {s.name: s.present for s in clean.suspects}["decay not finished"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_embeddings_are_found_and_named():
    found = compare(with_embeddings(), bootstrap=100)
    (disagreement,) = found.disagreements
    assert (disagreement.quantity, disagreement.first, disagreement.second) == ("a", 2, 3)
    assert disagreement.likely[0] == "embeddings"
    best = disagreement.explanations[0]
    assert abs(best.gap) < 0.3 * abs(disagreement.gap) and best.scatter < 0.5
    without = {name: column for name, column in with_embeddings().items() if name != "params_non_embedding"}
    unknown = compare(without, bootstrap=100)
    assert "embeddings" in unknown.untested and all("embeddings" not in d.likely for d in unknown.disagreements)


def test_runs_of_few_tokens_above_the_trend_are_found_and_named():
    found = compare(warming_up(), bootstrap=100)
    assert found.disagreements and all(d.likely[0] == "warm-up" for d in found.disagreements)
    clean = compare(warming_up(excess=0.0), bootstrap=100)
    assert not clean.disagreements and not {s.name: s.present for s in clean.suspects}["warm-up"]


def test_columns_tell_of_runs_that_are_not_decayed():
    table = isoflops()
    table["decayed"] = np.where(np.arange(len(table["loss"])) % 9 == 0, "no", "yes")
    suspects = {s.name: s for s in compare(table, bootstrap=0).suspects}
    assert suspects["decay not finished"].present and suspects["decay not finished"].left_out == len(BUDGETS)


@pytest.mark.parametrize(
    ("runs", "options", "words"),
    [({"params": [1e8], "loss": [3.0]}, {}, ["tokens", "flops"]),
     ({"params": [1e8, -1], "tokens": [1e9, 1e9], "loss": [3.0, 3.0]}, {}, ["params[1]", "positive"]),
     ({"params": [1e8], "tokens": [1e9, 1e9], "loss": [3.0, 3.0]}, {}, ["params", "1 rows"]),
     ({"params": [1e8], "tokens": [1e9], "loss": [3.0]}, {"budgets": [0.0]}, ["budgets", "positive"]),
     ({"params": [1e8], "tokens": [1e9], "loss": [3.0]}, {"within": 0.5}, ["within", "above 1"]),
     ({"params": [1e8], "tokens": [1e9], "loss": [3.0]}, {"smooth": -1.0}, ["smooth", "0 or more"])],
)  # fmt: skip
def test_wrong_input_is_named(runs, options, words):
    with pytest.raises(InputError) as caught:
        compare(runs, **options)
    for word in words:
        assert word in str(caught.value)
