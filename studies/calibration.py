"""How often the intervals of a fitted law contain the truth: simulated tables from a known law, coverage by scenario and quantity.

Run by ``make study-calibration`` (QUICK=1: a few tables, for CI). A nominal 95 % interval is calibrated where it covers 93 to 97 %; the
Monte-Carlo standard error of each share stands beside it.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from study_result import command_line, save, save_figure

from laimbench import laws
from laimbench.cores import keep_on, usable_cores
from laimbench.laws.intervals import bca_interval
from laimbench.laws.likelihood import delta_interval

TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 900.0, "beta": 0.31}
FAR = (1e11, 1e12)  # parameters and tokens of the prediction: ten and three times beyond the data
QUANTITIES = ("E", "alpha", "beta", "a", "loss at 10 N, 3 D")
METHODS = ("bca", "percentile", "delta")


@dataclass(frozen=True)
class Scenario:
    """rows of a table (configurations times seeds), noise of log loss, its tails, and seeds per configuration that share an error."""

    rows: int
    noise: float
    tails: str = "normal"
    seeds: int = 1
    tables: int = 400

    @property
    def name(self) -> str:
        clusters = f", {self.rows // self.seeds} configurations x {self.seeds} seeds" if self.seeds > 1 else ""
        return f"{self.rows} rows, noise {self.noise:g} {self.tails}{clusters}"


SCENARIOS = [
    *(Scenario(rows, noise) for rows in (30, 100) for noise in (0.002, 0.01, 0.03)),
    Scenario(500, 0.01),
    *(Scenario(rows, 0.005, "Student t, 3 degrees") for rows in (30, 100)),
    *(Scenario(rows, 0.01, seeds=3) for rows in (90, 180)),
]


def simulate(scenario: Scenario, generator: np.random.Generator):
    """Return params, tokens, loss and cluster labels of one table."""
    groups = scenario.rows // scenario.seeds
    labels = np.repeat(np.arange(groups), scenario.seeds)
    params, tokens = 10 ** generator.uniform(7, 10, groups)[labels], 10 ** generator.uniform(8.5, 11.5, groups)[labels]
    loss = laws.CHINCHILLA.at(laws.CHINCHILLA.theta_of(TRUTH), params, tokens)
    draw = generator.normal if scenario.tails == "normal" else lambda _, scale, n: scale * generator.standard_t(3, n)
    error = draw(0.0, scenario.noise, len(labels))
    if scenario.seeds > 1:  # half of the variance is the configuration's own: its seeds are off together
        error = (error + draw(0.0, scenario.noise, groups)[labels]) / np.sqrt(2)
    return params, tokens, loss * np.exp(error), labels


def quantities(theta: np.ndarray) -> np.ndarray:
    """Return the quantities (..., 5) of theta (..., 5)."""
    values = laws.CHINCHILLA.values(theta)
    exponent = values["beta"] / (values["alpha"] + values["beta"])
    far = laws.CHINCHILLA.at(theta, *([x] for x in FAR))[..., 0]
    return np.stack([values["E"], values["alpha"], values["beta"], exponent, far], axis=-1)


def covered(task: tuple[Scenario, int]) -> dict[str, list[bool]]:
    """Return for one simulated table whether each method's intervals contain the truth."""
    scenario, index = task
    generator = np.random.default_rng(
        (scenario.rows, int(1e6 * scenario.noise), len(scenario.tails), scenario.seeds, index)
    )
    params, tokens, loss, labels = simulate(scenario, generator)
    truth = laws.CHINCHILLA.theta_of(TRUTH)
    # Starts around the truth stand in for the grid: the grid's optimum is the same, at a tenth of the time.
    starts = truth + np.concatenate([np.zeros((1, 5)), generator.normal(0, 0.1, (15, 5))])
    fit = laws.fit_chinchilla(params, tokens, loss, clusters=labels if scenario.seeds > 1 else None, starts=starts)
    here, samples, left_out, exact = (quantities(t) for t in (fit.theta, fit.samples, fit.left_out, truth))
    intervals = {
        "bca": bca_interval(here, samples, left_out),
        "percentile": tuple(np.quantile(samples, q, axis=0) for q in (0.025, 0.975)),
        "delta": delta_interval(fit, quantities),
    }
    return {method: ((low <= exact) & (exact <= high)).tolist() for method, (low, high) in intervals.items()}


def pin(cores: list[int]) -> None:
    """Give a worker a core of its own: each solves on one thread."""
    keep_on(cores[os.getpid() % len(cores)])


def run(quick: bool) -> dict:
    scenarios = [Scenario(**{**asdict(s), "tables": 8}) for s in SCENARIOS[:2] + SCENARIOS[-1:]] if quick else SCENARIOS
    cores = usable_cores()
    started, rows = time.perf_counter(), []
    with ProcessPoolExecutor(len(cores), initializer=pin, initargs=(cores,)) as pool:
        for scenario in scenarios:
            found = list(pool.map(covered, [(scenario, i) for i in range(scenario.tables)], chunksize=4))
            shares = {m: np.mean([f[m] for f in found], axis=0) for m in METHODS}
            rows.append({
                "scenario": scenario.name, **asdict(scenario),
                "coverage": {m: dict(zip(QUANTITIES, share.tolist(), strict=True)) for m, share in shares.items()},
                "standard_error": float(np.sqrt(0.05 * 0.95 / scenario.tables)),
            })  # fmt: skip
            line = "  ".join(f"{q} {share:.3f}" for q, share in rows[-1]["coverage"]["bca"].items())
            print(f"{scenario.name}: {line}  ({time.perf_counter() - started:.0f} s)", flush=True)
    return {"truth": TRUTH, "level": 0.95, "quantities": QUANTITIES, "methods": METHODS, "rows": rows,
            "seconds": time.perf_counter() - started}  # fmt: skip


def picture(result: dict, path: Path) -> None:
    """Draw the coverage of every scenario and quantity, by method, around the nominal level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.5 * len(result["rows"]) + 1.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(result["rows"]))[::-1]
    for method, colour, shift in zip(METHODS, ("#0072b2", "#e69f00", "#999999"), (0.22, 0.0, -0.22), strict=True):
        for place, row in zip(places, result["rows"], strict=True):
            shares = list(row["coverage"][method].values())
            axes.plot(
                shares, [place + shift] * len(shares), "o", ms=4, color=colour, label=method if place == 0 else None
            )
    axes.axvspan(0.93, 0.97, color="#0072b2", alpha=0.12, lw=0, label="93 to 97 %")
    axes.axvline(0.95, color="black", lw=0.8)
    axes.set_yticks(places, [row["scenario"] for row in result["rows"]])
    axes.set_xlim(min(0.85, *(min(r["coverage"]["bca"].values()) for r in result["rows"])) - 0.01, 1.0)
    axes.set_xlabel("share of 95 % intervals that contain the truth, a point per quantity")
    axes.legend(loc="lower left", fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("calibration", run(arguments.quick), picture, arguments.quick)
