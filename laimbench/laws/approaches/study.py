"""One table through all three approaches, with the same choices each time: once for the answer, then again for what might explain it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.approaches.envelope import fit_envelope
from laimbench.laws.approaches.frontier import Absent, Frontier
from laimbench.laws.approaches.isoflop import fit_isoflop
from laimbench.laws.approaches.parametric import of_law
from laimbench.laws.approaches.rows import Rows
from laimbench.laws.fit import Fit, fit_form
from laimbench.laws.forms import Form
from laimbench.laws.intervals import LEVEL

Frontiers = dict[int, Frontier | Absent]
NEAR_STARTS = 40  # of a refit, besides the law that it starts from


@dataclass(frozen=True)
class Study:
    """The choices: form and how it is fitted (``fit_form``'s options), parabolas in log loss, smoothing of curves, sizes near the vertex only."""

    form: Form
    fit_options: dict[str, Any] = field(default_factory=dict)
    log_loss: bool = True
    smooth: float = 0.0
    within: float | None = None
    seed: int = 0
    level: float = LEVEL

    def law(self, ends: Rows, bootstrap: int = 0, near: Fit | None = None) -> Fit:
        """Return the law of the runs' ends; near: a law from which few starts suffice.

        Raises:
            InputError: what ``fit_form`` raises.
        """
        columns = tuple(ends[name] for name in self.form.variables if name in ends)
        if len(columns) < len(self.form.variables):
            raise InputError(
                f"form {self.form.name} is a law in {', '.join(self.form.variables)}, of which columns are missing"
            )
        starts = None
        if near is not None:
            others = near.form.starts(near.problem.log_x, near.problem.y)
            starts = np.concatenate([near.theta[None], others[:: max(1, len(others) // NEAR_STARTS)]])
        return fit_form(
            self.form, columns, ends["loss"], bootstrap=bootstrap, seed=self.seed, starts=starts, **self.fit_options
        )

    def isoflop(self, ends: Rows, within: float | None = None) -> Frontier | Absent:
        return fit_isoflop(ends, log_loss=self.log_loss, within=within or self.within, level=self.level)

    def frontiers(
        self, curves: Rows, ends: Rows, *, bootstrap: int = 0, near: Fit | None = None, within: float | None = None
    ) -> tuple[Frontiers, Fit | None]:
        """Return what the approaches find, and the law: approach 1 by the curves, 2 and 3 by the ends of runs."""
        found: Frontiers = {
            1: fit_envelope(curves, smooth=self.smooth, bootstrap=bootstrap, seed=self.seed, level=self.level),
            2: self.isoflop(ends, within),
        }
        try:
            law = self.law(ends, bootstrap, near)
        except InputError as error:
            return found | {3: Absent(3, str(error))}, None
        others = [frontier for frontier in found.values() if isinstance(frontier, Frontier)]
        around = float(np.exp(np.mean([np.log(f.domain) for f in others]))) if others else None
        return found | {3: of_law(law, ends, around=around, level=self.level)}, law
