"""Do the families learn, and not just run? Each is trained from nothing and judged on held-out data against a target or a baseline.

Run by ``make study-learning`` (QUICK=1: two families, a few steps). The figures and their intervals are those of ``laimbench eval``;
each family is meant to be trained within 15 minutes on two cores, ``train_s`` says how long it took. Two are trained beside each other, on
one thread each; one alone (--only FAMILY) has both. The other families' rows then stay as they were written; every row says when
and on which machine it was measured.
"""

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from study_result import command_line, rows_of_others, save, save_figure

from laimbench import provenance
from laimbench.evaluate.run import evaluate
from laimbench.train import RunConfig, Trainer, save_checkpoint

CODE = {"data": "builtin:python", "vocab_size": 1024}
# name: the runs, each from the one before it; the figure; what it has to reach; the comparison
CASES: dict[str, dict[str, Any]] = {
    "mlp": {"runs": [{"width": 64, "tokens": 43_140, "lr": 3e-3}], "figure": "accuracy", "at_least": 0.95},
    "vit": {"runs": [{"size": 2, "tokens": 120_000}], "figure": "accuracy", "at_least": 0.97},
    "audio": {"runs": [{"size": 2, "tokens": 12_000}], "figure": "accuracy", "at_least": 0.95},
    "transformer": {"runs": [{"size": 2, "tokens": 60_000}], "figure": "exact match, greedy", "at_least": 0.9},
    "bert": {
        "runs": [
            {**CODE, "size": 2, "seqlen": 64, "batch_size": 16, "tokens": 8_000_000, "lr": 1.5e-3},
            {**CODE, "data": "builtin:operators", "size": 2, "seqlen": 64, "batch_size": 32, "tokens": 4_000_000, "lr": 5e-4},
        ],
        "figure": "model less bag of 1-2-grams", "at_least": 0.0, "compare": "bag",
    },
    "gpt": {
        "runs": [{**CODE, "size": 3, "norm": "rms", "mlp": "swiglu", "positions": "rotary", "seqlen": 256, "batch_size": 8,
                  "tokens": 8_000_000, "lr": 4e-3}],
        "figure": "model less Kneser-Ney 5-gram", "at_most": 0.0, "compare": "ngram", "eval_tokens": 1 << 20,  # all that is held out
    },
}  # fmt: skip
QUICK = {"mlp": {"tokens": 1438}, "transformer": {"tokens": 320, "size": 1}}


def learn(family: str, case: dict[str, Any], overrides: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """Train a family's runs and return how the last one is judged."""
    torch.set_num_threads(threads)
    started, train_s, start, configs = time.perf_counter(), 0.0, "", []
    for number, run in enumerate(case["runs"]):
        trainer = Trainer(RunConfig.from_dict({"family": family, "evals": 8, **run, **overrides, "start": start}))
        while not trainer.finished:
            evaluation = trainer.advance()
            print(
                f"{family}: {evaluation.tokens:,} of {trainer.config.tokens:,}, validation loss {evaluation.val_loss:.4f}",
                flush=True,
            )
        train_s += trainer.train_seconds
        configs.append(trainer.config.to_dict())
        start = str(folder / f"{family}-{number}")
        save_checkpoint(Path(start), trainer, evaluation.to_dict())
    document = evaluate(Path(start), compare=case.get("compare", ""), eval_tokens=case.get("eval_tokens", 0))
    compared = [figure for baseline in document["comparisons"] for figure in baseline["figures"]]
    figures = {figure["name"]: figure for figure in (*document["figures"], *compared)}
    judged = figures[case["figure"]]
    value, low, high = judged["value"], judged["lower"], judged["upper"]
    reached = value >= case["at_least"] if "at_least" in case else value <= case["at_most"]
    print(f"{family}: {case['figure']} {value:.4f} ({low:.4f} to {high:.4f}), {train_s:.0f} s of training", flush=True)
    return {"family": family, "params": trainer.params, "figure": case["figure"], "value": value, "lower": low, "upper": high,
            "target": {k: case[k] for k in ("at_least", "at_most") if k in case}, "reached": bool(reached), "train_s": train_s,
            "seconds": time.perf_counter() - started, "configs": configs, "figures": list(figures.values()), "machine": provenance.collect()}  # fmt: skip


def run(quick: bool, only: list[str]) -> dict[str, Any]:
    families = [f for f in (QUICK if quick else CASES) if not only or f in only]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        # The longest first: they are the last of the list.
        threads = 2 if len(families) == 1 else 1
        todo = [
            pool.submit(learn, f, CASES[f], QUICK[f] if quick else {}, Path(folder), threads)
            for f in reversed(families)
        ]
        rows = [one.result() for one in reversed(todo)]
    if not quick:
        rows += rows_of_others("learning", "families", families)
    rows.sort(key=lambda row: list(CASES).index(row["family"]))
    return {"families": rows, "reached": sum(row["reached"] for row in rows)}


def picture(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    rows = result["families"]
    figure = Figure(figsize=(2.2 * len(rows), 3.2), layout="constrained")
    for axes, row in zip(figure.subplots(1, len(rows)), rows, strict=True):
        axes.errorbar(
            [0], [row["value"]], [[row["value"] - row["lower"]], [row["upper"] - row["value"]]], fmt="o", capsize=5
        )
        axes.axhline(next(iter(row["target"].values())), color="#d55e00", lw=1, label="target")
        axes.set(title=row["family"], xticks=[], xlim=(-1, 1), ylabel=row["figure"])
    figure.axes[0].legend(fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="*", default=[], choices=list(CASES), help="these families")
    arguments = parser.parse_args()
    save("learning", run(arguments.quick, arguments.only), picture, arguments.quick)
