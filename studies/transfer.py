"""Does the rule for the learning rate carry over widths? The best multiple of the rule's rate, over a 16-fold range of width.

Run by ``make study-transfer`` (QUICK=1: one family, few steps). For each family and width the model is trained at multiples of the
rule's rate; a parabola through the losses around the best one, against the logarithm of the rate, gives the best multiple. Over widths it should move by
less than a factor of two.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from study_result import command_line, save, save_figure

from laimbench.train import RunConfig, Trainer

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
SEEDS = {
    16: (0, 1),
    64: (0, 1),
    256: (0,),
}  # by width; what the widest would spend on a second seed is most of the study
RUNS = {
    "gpt": {"data": "builtin:python", "vocab_size": 512, "seqlen": 64, "batch_size": 16, "tokens": 200_000},
    "bert": {"data": "builtin:python", "vocab_size": 512, "seqlen": 64, "batch_size": 32, "tokens": 300_000},
    "transformer": {"data": "builtin:dates", "tokens": 6_000},
    "vit": {"tokens": 8_000},
    "audio": {"tokens": 3_000},
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


def best_multiple(losses: np.ndarray) -> tuple[float, bool]:
    """Return where a parabola through the best point and its neighbours is lowest, and whether it is inside the range."""
    place = int(losses.argmin())
    if place in (0, len(losses) - 1):
        return MULTIPLES[place], False
    below, at, above = losses[place - 1 : place + 2]
    shift = 0.5 * (below - above) / (below - 2 * at + above)
    return float(MULTIPLES[place] * 2**shift), True


def run(quick: bool, families: tuple[str, ...] = ()) -> dict:
    families = families or (("vit",) if quick else tuple(RUNS))
    seeds = {16: (0,), 64: (0,)} if quick else SEEDS
    options = {family: {**RUNS[family], **({"tokens": 2_000} if quick else {})} for family in families}
    rows = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        todo = {
            (family, width): [
                [pool.submit(final_loss, family, width, m, seed, options[family]) for m in MULTIPLES]
                for seed in seeds[width]
            ]
            for family in families
            for width in seeds
        }
        for (family, width), futures in todo.items():
            losses = np.array([[one.result() for one in row] for row in futures])
            best, inside = best_multiple(losses.mean(0))
            rows.append({"family": family, "width": width, "seeds": seeds[width], "multiples": MULTIPLES, "losses": losses.tolist(),
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
    return {"rows": rows, "moved_by": moved}


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
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="*", default=[], choices=list(RUNS), help="these families; nothing is written")
    arguments = parser.parse_args()
    found = run(arguments.quick, tuple(arguments.only))
    if not arguments.only:
        save("transfer", found, picture, arguments.quick)
