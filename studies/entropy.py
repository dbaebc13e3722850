"""Does a fitted law find the irreducible loss where it is known? Ladders on synthetic sources of exactly known entropy.

Run by ``make study-entropy`` (QUICK=1: one source, a tiny ladder). A GPT that is large for the source is trained on growing numbers of tokens,
each token once; the power law L(D) = E + a / D^b is fitted to the final losses, and its E, with the interval that the fit gives, is held
against F(n), what the best predictor reaches on windows of n tokens (docs/data.md). What the best predictor happens to lose on the
validation windows is known too: its difference from F(n) is sampling noise that all runs share, and is taken out of their losses.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from study_result import command_line, save, save_figure

from laimbench import laws
from laimbench.data.synthetic import load_synthetic

SEQLEN, EVAL_TOKENS = 64, 131_072
SOURCES = {  # depth, width
    "synthetic:zipf-bigram?vocab=64": (1, 64),
    "synthetic:zipf-bigram?vocab=64&noise=0.1": (1, 64),
    "synthetic:markov?order=1&states=32": (1, 64),
    "synthetic:hmm?states=4&vocab=16": (2, 64),
    "synthetic:pcfg?nonterminals=6&terminals=16": (2, 64),
}
QUICK = {"synthetic:zipf-bigram?vocab=64": (1, 32)}
FIRST, STEPS = 65_536, 9  # tokens of the shortest runs, and how many lengths, each sqrt(2) times the one before


def train(arguments: tuple) -> dict:
    """Train one run on one thread: for models this small, two runs beside each other are faster than one on two threads."""
    import torch

    from laimbench.train import RunConfig, Trainer

    source, depth, width, tokens, seed, eval_tokens = arguments
    torch.set_num_threads(1)
    trainer = Trainer(RunConfig(data=source, width=width, depth=depth, seqlen=SEQLEN, batch_size=16, tokens=tokens, seed=seed,
                                evals=1, eval_tokens=eval_tokens))  # fmt: skip
    while not trainer.finished:
        evaluation = trainer.advance()
    return {"width": width, "depth": depth, "seed": seed, "params": trainer.params, "tokens": evaluation.tokens,
            "flops": evaluation.flops, "loss": evaluation.val_loss}  # fmt: skip


def study(source: str, shape: tuple, budgets: list[int], eval_tokens: int, pool: ProcessPoolExecutor) -> dict:
    depth, width = shape
    tokens = load_synthetic(source)
    bound, rate = tokens.process.finite_context_bound(SEQLEN), tokens.process.entropy_rate()
    windows = tokens.validation_windows(eval_tokens // SEQLEN, SEQLEN + 1)
    best = float(tokens.process.optimal_losses(windows).mean())
    # Every length has a seed of its own, so that runs are independent.
    todo = [(source, depth, width, budget, seed, eval_tokens) for seed, budget in enumerate(budgets)]
    runs = list(pool.map(train, reversed(todo)))[::-1]
    truth = (bound.lower + bound.upper) / 2
    losses = np.array([run["loss"] for run in runs]) - best + truth
    fit = laws.fit_form(laws.power_law("tokens"), ([run["tokens"] for run in runs],), losses)
    low, high = fit.intervals.get("E", (0.0, float(losses.min())))  # no interval: nothing below the losses is excluded
    found = {
        "source": source, "seqlen": SEQLEN, "entropy_rate": [rate.lower, rate.upper], "best_loss": [bound.lower, bound.upper],
        "best_loss_on_validation": best, "runs": runs, "params": fit.params, "E_interval": [low, high],
        "lowest_excess": float(losses.min() - truth), "warnings": list(fit.warnings),
        "covers": bool(low <= bound.upper and bound.lower <= high),
    }  # fmt: skip
    print(f"{source}: best possible {truth:.4f}, fitted E {fit.params['E']:.4f} ({low:.4f} to {high:.4f}), "
          f"the best model is {found['lowest_excess']:.4f} above", flush=True)  # fmt: skip
    return found


def run(quick: bool) -> dict:
    sources, first, steps, eval_tokens = (QUICK, 8_192, 7, 8_192) if quick else (SOURCES, FIRST, STEPS, EVAL_TOKENS)
    step = 16 * SEQLEN
    budgets = [step * round(first * 2 ** (i / 2) / step) for i in range(steps)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = [study(source, shape, budgets, eval_tokens, pool) for source, shape in sources.items()]
    return {"sources": found, "covered": sum(row["covers"] for row in found)}


def picture(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    rows = result["sources"]
    figure = Figure(figsize=(3.6 * len(rows), 3.6), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows, strict=True):
        truth = sum(row["best_loss"]) / 2
        shift = truth - row["best_loss_on_validation"]
        tokens, law = np.array([run["tokens"] for run in row["runs"]]), row["params"]
        grid = np.geomspace(tokens.min(), 30 * tokens.max(), 200)
        axes.plot(tokens, [run["loss"] + shift for run in row["runs"]], "o", ms=4, color="#0072b2", label="trained")
        axes.plot(grid, law["E"] + law["a"] * grid ** -law["b"], color="#0072b2", lw=1, label="fitted law")
        axes.axhspan(*row["E_interval"], color="#0072b2", alpha=0.2, label="its E, 95 %")
        axes.axhline(truth, color="black", lw=1, ls="--", label="best possible loss")
        axes.set(xscale="log", title=row["source"].removeprefix("synthetic:"), xlabel="training tokens")
    np.atleast_1d(figure.axes)[0].set_ylabel("validation loss, nats per token")
    np.atleast_1d(figure.axes)[0].legend(fontsize=7)
    save_figure(figure, path)


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("entropy", run(arguments.quick), picture, arguments.quick)
