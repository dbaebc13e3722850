"""How much narrower is the interval of a sweep that designs itself than that of the usual grid, at the same budget?

Run by ``make study-design`` (QUICK=1: one table, for CI). Losses are drawn from known laws with noise; the sweep is the one of ``laimbench sweep
--budget``, with the simulation in place of training, and every interval is the library's own (Huber loss, BCa bootstrap over configurations).
Some laws are those the design's prior holds plausible, others are far from it, in exponents, in shares or in noise. The usual grids: five sizes with
5, 20 and 80 tokens per parameter and two seeds; and IsoFLOP profiles of four budgets and six sizes. Their sizes are free: a real grid cannot
spend a budget as exactly. A ratio above 1 is for the design.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from study_result import command_line, save, save_figure

from laimbench.design import Designer, Noise, Space, exponent, optimum, prediction, run_sequentially
from laimbench.design.prior import NOISE, PLAUSIBLE, Belief, plausible_laws
from laimbench.design.sequential import candidate_tokens
from laimbench.design.simulated import SimulatedLab

BUDGET = 1e15  # FLOPs: hours on two cores
FAR = 10 * BUDGET
TABLES, BOOTSTRAP = 20, 200
QUANTITIES = {"exponent": exponent(), "optimum": optimum(FAR), "prediction": prediction(FAR)}
LAWS: dict[str, tuple[Belief, Noise]] = {
    **{f"of the prior: {belief.why}": (belief, NOISE) for belief in PLAUSIBLE[:4]},
    "far: Kaplan's exponents, hardly a floor": (Belief(0.076, 0.095, (0.05, 0.45, 0.5), ""), NOISE),
    "far: steep": (Belief(0.8, 0.7, (0.6, 0.2, 0.2), ""), NOISE),
    "far: tokens hardly help": (Belief(0.35, 0.10, (0.4, 0.3, 0.3), ""), NOISE),
    "far: near its floor": (Belief(0.35, 0.35, (0.88, 0.06, 0.06), ""), NOISE),
    "far: three times the noise": (PLAUSIBLE[0], Noise(3 * NOISE.within, 3 * NOISE.between)),
    "far: all noise is the configuration's": (PLAUSIBLE[0], Noise(0.0, NOISE.one)),
}
WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)  # of GPTs with 32 channels a block and 1,024 + 128 embeddings
SIZES = np.array([12 * w * w * max(2, w // 32) + 1152 * w for w in WIDTHS], float)


def choices() -> Space:
    """Return what the design may choose: what ``laimbench sweep --budget`` would offer."""
    pairs = [
        (size, tokens)
        for size in SIZES
        for tokens in candidate_tokens(lambda count, size=size: 6 * size * count, BUDGET, max(size, 1e5), 500 * size)
    ]
    return space_of(*np.array(pairs).T)


def space_of(params: np.ndarray, tokens: np.ndarray) -> Space:
    return Space(params, tokens, 6 * params * tokens)


def rectangle() -> tuple[Space, int]:
    """Return five sizes from the smallest up, as far as the budget goes, with three token counts each, and seeds."""
    ratios, seeds, low, high = np.array([5, 20, 80]), 2, SIZES[0], 1e12
    for _ in range(60):
        top = np.sqrt(low * high)
        sizes = np.repeat(np.geomspace(SIZES[0], top, 5), 3)
        space = space_of(sizes, sizes * np.tile(ratios, 5))
        low, high = (low, top) if seeds * space.costs.sum() > BUDGET else (top, high)
    return space, seeds


def isoflop() -> tuple[Space, int]:
    """Return four budgets a factor of 3 apart, with six sizes around 20 tokens per parameter each."""
    budgets = 3.0 ** np.arange(4)
    budgets *= BUDGET / (6 * budgets.sum())
    sizes = np.sqrt(budgets / (6 * 20))[:, None] * np.geomspace(0.35, 2.8, 6)
    return space_of(sizes.ravel(), (budgets[:, None] / (6 * sizes)).ravel()), 1


GRIDS = {"rectangle": rectangle, "isoflop": isoflop}


def one_table(task: tuple[str, str, int]) -> dict[str, Any]:
    """Return intervals of the design and of the grids for one draw of the noise."""
    law_name, quantity_name, table = task
    quantity, (belief, noise), space = QUANTITIES[quantity_name], LAWS[law_name], choices()
    truth = plausible_laws(*space.logs, beliefs=(belief,))[0]
    seed = (list(LAWS).index(law_name), table)
    designer = Designer(space, quantity, BUDGET)
    expected: list[float] = []
    lab = SimulatedLab(truth, space, noise, np.random.default_rng((*seed, 0)))
    run_sequentially(designer, lab, lambda plan, spent: expected.append(plan.half_width))
    designer.learn(lab.results(), BOOTSTRAP)
    found = {"design": {**interval_of(designer, truth), "runs": len(lab.results()), "spent": lab.spent() / BUDGET,
                        "expected_first": expected[0], "expected_last": expected[-1]}}  # fmt: skip
    for number, (name, make) in enumerate(GRIDS.items(), start=1):
        grid, seeds = make()
        of_grid = SimulatedLab(truth, grid, noise, np.random.default_rng((*seed, number)))
        of_grid.train([(run, k) for run in range(len(grid.costs)) for k in range(seeds)])
        learner = Designer(grid, quantity, BUDGET)
        learner.learn(of_grid.results(), BOOTSTRAP)
        found[name] = {**interval_of(learner, truth), "runs": len(of_grid.results()), "spent": of_grid.spent() / BUDGET}
    return {"law": law_name, "quantity": quantity_name, **found}


def interval_of(designer: Designer, truth: np.ndarray) -> dict[str, Any]:
    """Return half the width of the interval on the quantity's scale, infinite where it is open, and whether it holds the truth."""
    _, low, high = designer.interval()
    half = (high - low) / 2
    return {
        "half_width": float(half) if np.isfinite(half) else np.inf,
        "covers": bool(low <= designer.quantity.value(truth) <= high),
    }


def run(quick: bool) -> dict[str, Any]:
    started = time.perf_counter()
    laws, quantities, tables = (list(LAWS)[:1], ["exponent"], 1) if quick else (list(LAWS), list(QUANTITIES), TABLES)
    tasks = list(product(laws, quantities, range(tables)))
    if quick:
        found = [one_table(task) for task in tasks]
    else:
        with ProcessPoolExecutor() as pool:
            found = list(pool.map(one_table, tasks, chunksize=2))
    rows = []
    for law, quantity, grid in product(laws, quantities, GRIDS):
        same = [f for f in found if (f["law"], f["quantity"]) == (law, quantity)]
        rows.append({"law": law, "quantity": quantity, "grid": grid, **compared(same, grid)})
        print(
            f"{quantity}, {grid}, {law}: {rows[-1]['ratio']:.2f} ({rows[-1]['low']:.2f} to {rows[-1]['high']:.2f})",
            flush=True,
        )
    ratios = {
        f"{q}, {g}": summary([f["ratio_" + g] for f in with_ratios(found) if f["quantity"] == q])
        for q, g in product(quantities, GRIDS)
    }
    everything = summary([f["ratio_" + grid] for f in with_ratios(found) for grid in GRIDS])
    short = [f"{r['quantity']}, {r['grid']}, {r['law']}: {r['ratio']:.2f}" for r in rows if r["ratio"] < 1.5]
    print(f"all: {everything}; medians below 1.5: {short or 'none'}")
    designs = [f["design"] for f in found]
    return {
        "budget_flops": BUDGET, "far_flops": FAR, "tables": tables, "bootstrap": BOOTSTRAP, "rows": rows, "by_quantity_and_grid": ratios, "all": everything,
        "below_1_5": short, "spent": [min(d["spent"] for d in designs), max(d["spent"] for d in designs)],
        "coverage": {side: float(np.mean([f[side]["covers"] for f in found])) for side in ("design", *GRIDS)},
        "obtained_over_expected": {when: summary([d["half_width"] / d["expected_" + when] for d in designs]) for when in ("first", "last")},
        "seconds": time.perf_counter() - started,
    }  # fmt: skip


def with_ratios(found: list[dict]) -> list[dict]:
    return [
        {**f, **{"ratio_" + grid: f[grid]["half_width"] / f["design"]["half_width"] for grid in GRIDS}} for f in found
    ]


def compared(same: list[dict], grid: str) -> dict[str, Any]:
    found = summary([f["ratio_" + grid] for f in with_ratios(same)])
    return {"ratio": found["median"], "low": found["low"], "high": found["high"], "wins": found["wins"],
            "design_half_width": float(np.median([f["design"]["half_width"] for f in same])),
            "coverage": {side: float(np.mean([f[side]["covers"] for f in same])) for side in ("design", grid)}}  # fmt: skip


def summary(ratios: list[float]) -> dict[str, float]:
    """Return median, a tenth and nine tenths of the tables, and the share above 1; what is infinite counts as 1000."""
    values = np.clip(np.nan_to_num(ratios, nan=1e3, posinf=1e3), 0, 1e3)
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {"median": float(median), "low": float(low), "high": float(high), "wins": float((values > 1).mean())}


def picture(result: dict, path: Path) -> None:
    """Draw the ratio of every law, quantity and grid with its spread."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["law"] for row in result["rows"]))
    quantities = list(dict.fromkeys(row["quantity"] for row in result["rows"]))
    figure = Figure(figsize=(4 * len(quantities) + 3, 0.45 * len(names) + 1.6), layout="constrained")
    for axes, quantity in zip(np.atleast_1d(figure.subplots(1, len(quantities), sharey=True)), quantities, strict=True):
        for grid, colour, shift in zip(GRIDS, ("#0072b2", "#e69f00"), (0.12, -0.12), strict=True):
            rows = [row for row in result["rows"] if (row["quantity"], row["grid"]) == (quantity, grid)]
            for row in rows:
                place = -names.index(row["law"]) + shift
                axes.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.5)
                axes.plot(row["ratio"], place, "o", ms=5, color=colour, label=grid if row is rows[0] else None)
        axes.axvline(1.0, color="black", lw=0.8)
        axes.axvline(1.5, color="black", lw=0.8, ls=":")
        axes.set_xscale("log")
        axes.set_xticks([0.5, 1, 1.5, 2, 3, 5, 8], ["0.5", "1", "1.5", "2", "3", "5", "8"])
        axes.set_xticks([], minor=True)
        axes.set_yticks([-i for i in range(len(names))], names)
        axes.set_title(quantity)
        axes.set_xlabel("interval of the grid over that of the design")
    figure.axes[0].legend(fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("design", run(arguments.quick), picture, arguments.quick)
