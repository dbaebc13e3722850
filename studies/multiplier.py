"""Does the effective compute multiplier find the truth, and what does it say of a real change?

Run by ``make study-multiplier`` (QUICK=1: few ladders, one seed pair). Simulated ladders of known multipliers, in which both sides' runs of
a seed share most of its luck: how often the 95 % interval covers. And a worked example: GPTs with LayerNorm against GPTs with RMSNorm.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from study_result import command_line, save, save_figure

from laimbench.track.compare import worth
from laimbench.track.learning import compare_learning
from laimbench.track.multiplier import LEVEL, Multiplier, effective_multiplier
from laimbench.track.process import Side

TRUTHS = (0.5, 0.7, 1.0, 1.4, 2.0)
LADDERS = {"3 budgets": (3, 0.0), "6 budgets": (6, 1.7)}  # how many, and the law's E
SHARED, OWN = 0.01, 0.003  # standard deviations of log loss: of a seed's luck, and of what is each run's own
SEEDS = 5

# A suite of one model whose norm is told by the side's own module.
SUITE = """
import norm_of_side
from laimbench.train import RunConfig, Trainer

SIZES = [1, 2, 3]

def learn_gpt(size, seed):
    trainer = Trainer(RunConfig.from_dict({
        "family": "gpt", "width": 32 * size, "depth": size, "heads": size, "vocab_size": 512, "seqlen": 128, "batch_size": 8,
        "tokens": TOKENS * 2**size, "seed": seed, "evals": 1, "norm": norm_of_side.NORM}))
    while not trainer.finished:
        evaluation = trainer.advance()
    yield {"flops": evaluation.flops, "loss": evaluation.val_loss}
"""


def simulated(rng: np.random.Generator, m: float, budgets: int, e: float) -> tuple[np.ndarray, ...]:
    """Return compute, loss, side and seed of a ladder whose side B is worth m times side A's compute."""
    rows = []
    for seed in range(SEEDS):
        for compute in np.geomspace(1e13, 1e15, budgets):
            luck = rng.normal(0, SHARED)
            for side, factor in ((0, 1.0), (1, m)):
                loss = e + 40 * (factor * compute) ** -0.12
                rows.append((compute, loss * np.exp(luck + rng.normal(0, OWN)), side, seed))
    return tuple(np.array(rows).T)


def coverage(repetitions: int) -> list[dict[str, Any]]:
    rows = []
    for name, (budgets, e) in LADDERS.items():
        for truth in TRUTHS:
            rng = np.random.default_rng([budgets, round(100 * truth)])
            found = [effective_multiplier(*simulated(rng, truth, budgets, e)) for _ in range(repetitions)]
            covered = float(np.mean([m.interval[0] <= truth <= m.interval[1] for m in found]))
            width = float(np.median([np.log(m.interval[1] / m.interval[0]) for m in found]))
            rows.append({"ladder": name, "truth": truth, "covered": covered, "median_log_width": width,
                         "median": float(np.median([m.value for m in found]))})  # fmt: skip
            print(f"{name}, m = {truth}: covered {covered:.3f}, median {rows[-1]['median']:.3f}", flush=True)
    return rows


def example(tokens: int, seeds: int) -> dict[str, Any]:
    """Train both norms on the ladder with paired seeds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.py").write_text(SUITE.replace("TOKENS", str(tokens)))
        sides = []
        for norm in ("layer", "rms"):
            (folder / norm).mkdir()
            (folder / norm / "norm_of_side.py").write_text(f"NORM = {norm!r}\n")
            sides.append(Side(norm, folder / norm))
        learning = compare_learning(
            tuple(sides), folder / "suite.py", "gpt", [1, 2, 3], threads=1, spreads=1.0, alpha=0.01, seeds=seeds
        )
    shown = {of: found.to_dict() if isinstance(found := worth(learning, of), Multiplier) else found for of in ("flops", "seconds")}  # fmt: skip
    print(f"LayerNorm to RMSNorm: {learning.verdict}, {shown}", flush=True)
    return {"learning": learning.to_dict(), "multiplier": shown}


def run(quick: bool) -> dict[str, Any]:
    repetitions = 20 if quick else 400
    return {
        "level": LEVEL,
        "repetitions": repetitions,
        "seeds": SEEDS,
        "coverage": coverage(repetitions),
        "example": example(1024, 1) if quick else example(2**16, 6),
    }


def picture(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for ladder in LADDERS:
        rows = [row for row in result["coverage"] if row["ladder"] == ladder]
        left.plot([row["truth"] for row in rows], [row["covered"] for row in rows], "o-", label=ladder)
    left.axhspan(0.93, 0.97, color="grey", alpha=0.2)
    left.set(xscale="log", xlabel="true multiplier", ylabel="share of 95 % intervals that cover", ylim=(0.85, 1))
    left.set_xticks(TRUTHS, [str(t) for t in TRUTHS])
    left.minorticks_off()
    left.legend()
    for side, (label, marker) in enumerate((("LayerNorm", "o"), ("RMSNorm", "x"))):
        runs = result["example"]["learning"]["runs"]
        right.plot([r["flops"][side] for r in runs], [r["loss"][side] for r in runs], marker, ms=5, label=label)
    right.set(xscale="log", xlabel="training FLOPs", ylabel="validation loss, nats per token")
    right.legend()
    save_figure(figure, path)


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("multiplier", run(arguments.quick), picture, arguments.quick)
