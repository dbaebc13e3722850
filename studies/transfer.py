"""Does the rule for the learning rate carry over widths? The best multiple of the rule's rate, over a 16-fold range of width.

Run by ``make study-transfer`` (QUICK=1: one family, few steps). For each family and width the model is trained at multiples of the
rule's rate; a parabola through the losses around the best one, against the logarithm of the rate, gives the best multiple. Over widths it should move by
less than a factor of two.
"""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from study_result import command_line, rows_of_others, save, save_figure

from laimbench import provenance
from laimbench.train import RunConfig, Trainer

FARTHEST = (1 / 16, 16)  # multiples of the rule's rate
# By width; what the widest would spend on a second seed is most of the study.
SEEDS = {16: (0, 1), 64: (0, 1), 256: (0,)}
RUNS = {
    "gpt": {"data": "builtin:python", "vocab_size": 512, "seqlen": 64, "batch_size": 16, "tokens": 200_000},
    "bert": {"data": "builtin:python", "vocab_size": 512, "seqlen": 64, "batch_size": 16, "tokens": 500_000},
    "transformer": {"data": "builtin:dates", "tokens": 6_000},
    "vit": {"tokens": 8_000},
    "audio": {"tokens": 12_000},
}


def final_loss(family: str, width: int, multiple: float, seed: int, options: dict) -> float:
    """Train on one thread: two such runs beside each other are faster than one on two threads."""
    import torch

    torch.set_num_threads(1)
    base = {
        "family": family,
        "width": width,
        "depth": 2,
        "heads": max(1, width // 32),
        "evals": 1,
        "seed": seed,
        **options,
    }
    rate = RunConfig.from_dict(base).learning_rate
    trainer = Trainer(RunConfig.from_dict({**base, "lr": rate * multiple}))
    while not trainer.finished:
        evaluation = trainer.advance()
    return evaluation.val_loss


def scan(
    pool: ProcessPoolExecutor, family: str, width: int, seeds: tuple[int, ...], options: dict
) -> dict[float, list[float]]:
    """Train at half, once and twice the rule's rate, and on towards where the loss falls, until the best is inside."""
    losses: dict[float, list[float]] = {}
    todo = [0.5, 1.0, 2.0]
    while todo:
        futures = {m: [pool.submit(final_loss, family, width, m, seed, options) for seed in seeds] for m in todo}
        losses |= {m: [future.result() for future in futures[m]] for m in todo}
        losses = dict(sorted(losses.items()))
        best = min(losses, key=lambda m: np.mean(losses[m]))
        beyond = {min(losses): best / 2, max(losses): best * 2}.get(best)
        todo = [beyond] if beyond is not None and FARTHEST[0] <= beyond <= FARTHEST[1] else []
    return losses


def best_multiple(losses: dict[float, list[float]]) -> float:
    """Return where a parabola in the logarithm of the rate through the best point and its neighbours is lowest."""
    multiples, means = list(losses), [float(np.mean(each)) for each in losses.values()]
    place = int(np.argmin(means))
    if place in (0, len(means) - 1):
        return multiples[place]
    below, at, above = means[place - 1 : place + 2]
    return float(multiples[place] * 2 ** (0.5 * (below - above) / (below - 2 * at + above)))


def run(quick: bool, only: list[str]) -> dict:
    families = only or (["vit"] if quick else list(RUNS))
    seeds = {16: (0,), 64: (0,)} if quick else SEEDS
    options = {family: {**RUNS[family], **({"tokens": 2_000} if quick else {})} for family in families}
    # Threads wait for a scan's next step, so that two trainings run whatever scans need; the widest take longest and go first.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool, ThreadPoolExecutor(3) as scans:
        todo = {
            (family, width): scans.submit(scan, pool, family, width, seeds[width], options[family])
            for family in families
            for width in sorted(seeds, reverse=True)
        }
        rows = []
        for (family, width), future in todo.items():
            losses = future.result()
            best = best_multiple(losses)
            rows.append({"family": family, "width": width, "seeds": seeds[width], "best_multiple": best, "options": options[family],
                         "multiples": list(losses), "losses": list(losses.values()), "machine": provenance.collect()})  # fmt: skip
            shown = {m: round(float(np.mean(each)), 4) for m, each in losses.items()}
            print(f"{family} width {width}: best at {best:.2f} of the rule's rate  {shown}", flush=True)
    if not quick:
        rows += rows_of_others("transfer", "rows", families)
    rows.sort(key=lambda row: (list(RUNS).index(row["family"]), row["width"]))
    moved = {}
    for family in dict.fromkeys(row["family"] for row in rows):
        best = [row["best_multiple"] for row in rows if row["family"] == family]
        moved[family] = max(best) / min(best)
        print(f"{family}: the best rate moves by {moved[family]:.2f} about the rule's", flush=True)
    return {"rows": rows, "moved_by": moved}


def picture(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    families = list(result["moved_by"])
    figure = Figure(figsize=(2.9 * len(families), 3.4), layout="constrained")
    for axes, family in zip(np.atleast_1d(figure.subplots(1, len(families))), families, strict=True):
        ticks = set()
        for row in (row for row in result["rows"] if row["family"] == family):
            losses = np.mean(row["losses"], axis=1)
            axes.plot(row["multiples"], losses - losses.min(), marker="o", ms=4, label=f"width {row['width']}")
            ticks |= set(row["multiples"])
        axes.axvline(1, color="black", lw=0.5)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(ticks), [f"{t:g}" for t in sorted(ticks)])
        axes.set(title=f"{family}: moves ×{result['moved_by'][family]:.2f}", xlabel="multiple of the rule's rate")
    figure.axes[0].set_ylabel("loss above the best, nats")
    figure.axes[0].legend(fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument(
        "--only", nargs="*", default=[], choices=list(RUNS), help="these families; the others' rows stay"
    )
    arguments = parser.parse_args()
    save("transfer", run(arguments.quick, arguments.only), picture, arguments.quick)
