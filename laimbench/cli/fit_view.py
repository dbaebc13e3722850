"""How ``laimbench fit`` shows what it found."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from laimbench.laws.analysis import Analysis
    from laimbench.laws.approaches import Comparison
    from laimbench.laws.planning.law import Estimate
    from laimbench.laws.selection import Selection

SHOWN = 12  # dropped rows that a terminal lists; the JSON has all


def show_analysis(console: Console, found: "Analysis") -> None:
    fit, review = found.fit, found.review
    console.print(
        f"{escape(fit.form.equation)}    {fit.rows} runs of {escape(found.table.source)}, worth {fit.effective_runs:.4g} independent ones"
    )
    for note in (*found.table.notes, *found.notes):
        console.print(f"note: {escape(note)}")
    if review is not None:
        _show_review(console, found)
    intervals = f"95 % interval (BCa, {len(fit.samples)} refits of {fit.resampling.kind})"
    table = _table("parameter", "value", intervals if fit.intervals else "95 % interval", "")
    for parameter in fit.form.parameters:
        name = parameter.name
        low, high = fit.intervals.get(name, (None, None))
        shown = "held" if name in fit.fixed else "" if low is None else f"{low:.4g} to {high:.4g}"
        table.add_row(name, f"{fit.params[name]:.6g}", shown, parameter.meaning)
    console.print(table)
    verdict = fit.verdict
    console.print(
        f"sum of {type(fit.loss).__name__} losses {fit.objective:.9e}; {verdict.agreeing:.0%} of {verdict.starts} starts agree; "
        f"gradient {verdict.gradient_norm:.1e} of it; curvatures {min(verdict.eigenvalues):.2g} to {max(verdict.eigenvalues):.2g}"
    )
    if found.other is not None:
        word = "without" if found.other.rows < fit.rows else "with"
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in found.other.params.items())
        console.print(f"{word} the runs in doubt ({found.other.rows} runs): {numbers}")
    for warning in fit.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")


def _show_review(console: Console, found: "Analysis") -> None:
    review = found.review
    for flag in review.flags:
        console.print(f"[yellow]flag:[/yellow] {escape(flag)}")
    dropped = review.to_dict()["dropped"]
    if not dropped:
        return
    counts = ", ".join(f"{count} {code}" for code, count in review.counts.items() if code != "kept")
    word = "left out" if found.options.quality == "drop" else "in doubt, kept (--quality drop leaves them out)"
    console.print(f"{len(dropped)} of {len(review.rows)} rows {word}: {counts}")
    for one in dropped[:SHOWN]:
        console.print(f"  row {one['row']}: {one['code']}, {escape(one['detail'])}")
    if len(dropped) > SHOWN:
        console.print(f"  and {len(dropped) - SHOWN} more, see --json")


def show_check(console: Console, check: dict[str, Any]) -> None:
    table = _table("parameters", "objective", "above the optimum")
    excess = "" if check["excess"] is None else f"{check['excess']:+.3%}"
    table.add_row(
        "claimed: " + ", ".join(f"{name} {value:g}" for name, value in check["params"].items()),
        f"{check['objective']:.9e}",
        excess,
    )
    table.add_row("ours", f"{check['ours']:.9e}", "")
    console.print(table)
    if not check["is_optimum"]:
        console.print("the claimed parameters are not the optimum of this objective on these rows")


def show_profiles(console: Console, profiles: list[dict[str, Any]]) -> None:
    table = _table("parameter", "95 % by profile")
    for one in profiles:
        low, high = ("open" if end is None else f"{end:.4g}" for end in one["interval"])
        table.add_row(one["name"], f"{low} to {high}")
    console.print(table)


def show_conventions(console: Console, conventions: dict[str, Any]) -> None:
    effects = conventions["effects"]
    if effects:
        names = list(effects[0]["numbers"])
        table = _table("parameters", "FLOPs", *(name.replace("_", " ") for name in names))
        for effect in effects:
            table.add_row(effect["params"], effect["flops"], *(f"{effect['numbers'][name]:.4f}" for name in names))
        console.print(table)
    for reason in conventions["absent"]:
        console.print(f"not available: {escape(reason)}")


def _table(first: str, *rest: str) -> Table:
    table = Table()
    table.add_column(first)
    for name in rest:
        table.add_column(name, justify="right")
    return table


def show_approaches(console: Console, compared: "Comparison") -> None:
    from laimbench.laws.approaches import Absent

    last = len(compared.budgets) - 1
    shown = sorted({0, last // 2, last}) if compared.budgets else []  # the JSON has all
    budgets = (f"N* at {compared.budgets[i]:.3g}" for i in shown)
    table = _table("approach", "a (N* ~ C^a)", "b (D* ~ C^b)", "points", *budgets)
    for number, approach in compared.approaches.items():
        if isinstance(approach, Absent):
            console.print(f"approach {number} is absent: {escape(approach.reason)}")
        else:
            sizes = [_estimate(compared.splits[number][i].params) for i in shown]
            points = f"{len(approach.points)}" if approach.points else ""
            table.add_row(f"{number} {approach.name}", _estimate(approach.a), _estimate(approach.b), points, *sizes)
        for refusal in approach.refused:
            budget = f"{refusal.low:.3g}" if refusal.low == refusal.high else f"{refusal.low:.3g} to {refusal.high:.3g}"
            console.print(f"approach {number} refuses {budget} FLOPs: {escape(refusal.reason)}")
    if table.row_count:
        console.print(table)
    for approach in compared.approaches.values():
        for note in getattr(approach, "notes", ()):
            console.print(f"note: {escape(note)}")
    for disagreement in compared.disagreements:
        console.print(f"[yellow]disagreement:[/yellow] {escape(disagreement.statement)}")
    if len(table.rows) > 1 and not compared.disagreements:
        console.print("the approaches agree within their intervals")
    for suspect in compared.suspects:
        if suspect.present:
            console.print(f"seen in the data: {escape(suspect.name)}, {escape(suspect.evidence)}")


def show_selection(console: Console, selected: "Selection") -> None:
    table = _table(
        "form", "parameters", "error above the cuts", "spread over cuts", "bias", "size left out", "all rows"
    )
    for one in selected.candidates:
        left_out = "" if one.left_out_size is None else f"{one.left_out_size.mean:.3%}"
        error = (
            f"{one.error.value:.3%}"
            if one.error.low is None
            else f"{one.error.value:.3%} ({one.error.low:.3%} to {one.error.high:.3%})"
        )
        table.add_row(
            one.name,
            f"{one.parameters}",
            error,
            f"{one.spread:.3%}",
            f"{one.bias:+.3%}",
            left_out,
            f"{one.in_sample.mean:.3%}",
        )
    if selected.candidates:
        console.print(table)
    for cut in selected.cuts:
        if cut.refused:
            console.print(f"cut at {cut.compute:.3g} FLOPs refused: {escape(cut.refused)}")
    for name, reason in selected.absent.items():
        console.print(f"{escape(name)} is absent: {escape(reason)}")
    console.print(escape(selected.statement))


def _estimate(estimate: "Estimate") -> str:
    if estimate.low is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"
