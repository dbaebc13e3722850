"""The planner: a law in parameters and tokens fitted to the pairs, embedded with its draws; ``planner.js`` evaluates it."""

from html import escape

import numpy as np

from laimbench import laws
from laimbench.errors import InputError
from laimbench.report.answer import Answer
from laimbench.report.figures import rounded
from laimbench.report.markup import data, section

DRAWS = 200  # embedded, of the bootstrap's: the page's intervals are theirs
BEYOND = 1e4  # times the largest budget of the data, where the slider ends


def fit_split(one: Answer) -> laws.Fit:
    """Fit L = E + A / N^alpha + B / D^beta to the final losses of both sides of all pairs; seeds are resampled together.

    Raises:
        InputError: fewer runs than parameters, and what ``fit_chinchilla`` raises.
    """
    runs = [run for pair in one.pairs for run in (pair.ours, pair.stock)]
    configurations = sorted({(run.params, run.tokens) for run in runs})
    return laws.fit_chinchilla(
        [run.params for run in runs],
        [run.tokens for run in runs],
        [run.final_val_loss for run in runs],
        clusters=[configurations.index((run.params, run.tokens)) for run in runs],
    )


def planner_section(one: Answer) -> str:
    """Return the planner as HTML; where there is no law, the sentence why."""
    title = f"Planner: {one.family}, {one.arithmetic}"
    try:
        if len({(pair.ours.params, pair.ours.tokens) for pair in one.pairs}) <= laws.CHINCHILLA.size:
            raise InputError(f"expected more than {laws.CHINCHILLA.size} pairs of parameters and tokens")
        law = fit_split(one)
    except InputError as error:
        return section(title, f"<p>No law that splits compute between parameters and tokens: {escape(str(error))}.</p>")
    embedded = law_document(one, law)
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in law.warnings)
    p = law.params
    return section(
        title,
        f"<p>L(N, D) = {p['E']:.3f} + {p['A']:.4g} / N<sup>{p['alpha']:.3f}</sup> + {p['B']:.4g} / D<sup>{p['beta']:.3f}</sup>, "
        "fitted to all final losses above; N parameters, D tokens, C = 6ND FLOPs. Move the sliders: the best split of a budget, and "
        f"what another size costs.</p>{f'<ul class=notes>{warnings}</ul>' if warnings else ''}"
        f"{data('planner', f'planner-{one.family}-{one.arithmetic}', embedded)}",
    )


def law_document(one: Answer, law: laws.Fit) -> dict:
    """Return what the page needs: parameters, draws, the data's range, and the FLOPs per second that the pairs reached."""
    chosen = np.linspace(0, len(law.samples) - 1, min(DRAWS, len(law.samples))).round().astype(int)
    names = law.form.names
    compute = [6.0 * pair.ours.params * pair.ours.tokens for pair in one.pairs]
    fastest = max(one.pairs, key=lambda pair: (pair.ours.params, pair.ours.tokens))
    return {
        "law": {name: law.params[name] for name in names},
        "draws": {name: rounded(law.sample_params[name][chosen]) for name in names} if len(law.samples) else {},
        "compute": [min(compute), max(compute) * BEYOND],
        "seen": {"compute": [min(compute), max(compute)]}
        | {name: list(law.domain[v]) for name, v in zip(("params", "tokens"), law.form.variables, strict=True)},
        "flops_per_s": {
            "laim": 6.0 * fastest.ours.params * fastest.ours.tokens / fastest.ours.train_s,
            "stock": 6.0 * fastest.stock.params * fastest.stock.tokens / fastest.stock.train_s,
        },
    }
