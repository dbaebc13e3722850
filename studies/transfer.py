"""Does the rule for the learning rate carry over widths? The best multiple of the rule's rate, over a 16-fold range of width.

Run by ``make study-transfer`` (QUICK=1: one family, few steps). For each family and width the model is trained at multiples of the
rule's rate; a parabola through the losses around the best one, against the logarithm of the rate, gives the best multiple. Over widths it should move by
less than a factor of two.
"""

from pathlib import Path

import numpy as np
from study_result import command_line, save, save_figure

from laimbench.train import RunConfig, Trainer

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
WIDTHS = (16, 64, 256)
RUNS = {
    "gpt": {"data": "builtin:python", "vocab_size": 512, "seqlen": 64, "batch_size": 16, "tokens": 250_000},
    "bert": {"data": "builtin:python", "vocab_size": 512, "seqlen": 64, "batch_size": 32, "tokens": 600_000},
    "transformer": {"data": "builtin:dates", "tokens": 8_000},
    "vit": {"tokens": 14_380},
}


def final_loss(family: str, width: int, multiple: float, seed: int, options: dict) -> float:
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


def best_multiple(losses: np.ndarray) -> tuple[float, bool]:
    """Return where a parabola through the best point and its neighbours is lowest, and whether it is inside the range."""
    place = int(losses.argmin())
    if place in (0, len(losses) - 1):
        return MULTIPLES[place], False
    below, at, above = losses[place - 1 : place + 2]
    shift = 0.5 * (below - above) / (below - 2 * at + above)
    return float(MULTIPLES[place] * 2**shift), True


def run(quick: bool) -> dict:
    families = ("vit",) if quick else tuple(RUNS)
    seeds, widths = ((0,), (16, 64)) if quick else ((0, 1), WIDTHS)
    rows = []
    for family in families:
        options = {**RUNS[family], **({"tokens": 2_000} if quick else {})}
        for width in widths:
            losses = np.array([[final_loss(family, width, m, seed, options) for m in MULTIPLES] for seed in seeds])
            best, inside = best_multiple(losses.mean(0))
            rows.append({"family": family, "width": width, "multiples": MULTIPLES, "losses": losses.tolist(),
                         "best_multiple": best, "inside": inside})  # fmt: skip
            print(
                f"{family} width {width}: best at {best:.2f} of the rule's rate  {losses.mean(0).round(4).tolist()}",
                flush=True,
            )
    moved = {
        family: max(b) / min(b)
        for family in families
        if (b := [r["best_multiple"] for r in rows if r["family"] == family])
    }
    return {"widths": widths, "seeds": seeds, "rows": rows, "moved_by": moved}


def picture(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    families = list(result["moved_by"])
    figure = Figure(figsize=(3.2 * len(families), 3.2), layout="constrained")
    for axes, family in zip(np.atleast_1d(figure.subplots(1, len(families))), families, strict=True):
        for row in (row for row in result["rows"] if row["family"] == family):
            losses = np.mean(row["losses"], axis=0)
            axes.plot(row["multiples"], losses - losses.min(), marker="o", label=f"width {row['width']}")
        axes.set(xscale="log", yscale="symlog", title=family, xlabel="multiple of the rule's rate")
        axes.set_xticks(MULTIPLES, [str(m) for m in MULTIPLES])
        axes.minorticks_off()
    np.atleast_1d(figure.axes)[0].set_ylabel("loss above the best, nats")
    np.atleast_1d(figure.axes)[0].legend(fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("transfer", run(arguments.quick), picture, arguments.quick)
