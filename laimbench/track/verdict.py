"""A comparison in words: one sentence, a Markdown comment for a pull request, and an exit code."""

from typing import Any

from laimbench.track.compare import Comparison
from laimbench.track.learning import Learning
from laimbench.track.multiplier import Multiplier
from laimbench.track.speed import Timing

SPEED = ("benchmark", "time B / A", "interval", "verdict", "rounds", "stock / ours, A", "stock / ours, B")
LEARNING = (
    "ladder",
    "loss B − A, nats",
    "interval",
    "seed spread",
    "verdict",
    "seeds",
    "compute multiplier",
    "at equal time",
)
TEXT = ("benchmark", "ladder", "verdict")  # columns set to the left
FINE, WORSE, UNDECIDED = 0, 3, 4  # exit codes beside 1 (failed) and 2 (wrong input)


def speed_word(timings: list[Timing]) -> str:
    """ "slower" if any benchmark is, else "faster" if any is, else "same"; "mixed" if both; "undecided" if none is decided worse."""
    words = {timing.verdict for timing in timings}
    if {"slower", "faster"} <= words:
        return "mixed"
    for word in ("slower", "undecided", "faster", "same"):
        if word in words:
            return word
    return "not measured"


def learning_word(learnings: list[Learning]) -> str:
    """The worst of the ladders' words; "changed" where losses are the same but something else than before is computed."""
    words = {changed_or(learning) for learning in learnings}
    for word in ("worse", "changed", "undecided", "better", "same"):
        if word in words:
            return word
    return "not measured"


def changed_or(learning: Learning) -> str:
    if learning.difference is not None and learning.verdict in ("same", "undecided"):
        return "changed"
    return learning.verdict


def exit_code(found: Comparison, *, allow_changes: bool = False) -> int:
    """0: nothing is worse; 3: slower, learns worse, or computes something else (unless that is meant); 4: undecided."""
    speed = speed_word(found.timings)
    learned = {learning.verdict if allow_changes else changed_or(learning) for learning in found.learnings}
    if speed in ("slower", "mixed") or learned & {"worse", "changed"}:
        return WORSE
    return UNDECIDED if speed == "undecided" or "undecided" in learned else FINE


def sentence(found: Comparison) -> str:
    """Return the verdict in one sentence."""
    a, b = found.labels
    parts = []
    speed = speed_word(found.timings)
    if found.timings:
        parts.append({
            "slower": f"is slower than {a}", "faster": f"is faster than {a}", "same": f"is as fast as {a}",
            "mixed": f"is slower in some and faster in other benchmarks than {a}",
            "undecided": f"may be slower or faster than {a} (undecided)",
        }[speed] + _which(found.timings, speed))  # fmt: skip
    if found.learnings:
        parts.append({
            "worse": "learns worse", "better": "learns better", "same": "learns the same",
            "changed": "computes something else", "undecided": "may learn differently (undecided)",
        }[learning_word(found.learnings)])  # fmt: skip
    return f"{b} " + " and ".join(parts) + "." + "".join(_about(learning) for learning in found.learnings)


def _which(timings: list[Timing], word: str) -> str:
    shown = [t for t in timings if t.verdict == word] if word in ("slower", "faster") else []
    return f" ({', '.join(f'{t.name} ×{t.ratio:.3f} of the time' for t in shown)})" if shown else ""


def _about(learning: Learning) -> str:
    """A sentence about what differs first, if anything does."""
    if learning.identical:
        return f" {learning.name}: bit for bit the same."
    if learning.difference is None:
        return ""
    one = learning.difference
    return f" {learning.name}: the first thing that differs is {one.name}, by {one.relative:.2g} of its size."


def speed_rows(found: Comparison) -> list[list[str]]:
    """Return a row for each timed benchmark, under the columns SPEED."""
    rows = []
    for row in (timing.to_dict() for timing in found.timings):
        ratio = "–" if row["time_ratio"] is None else f"{row['time_ratio']:.3f}"
        stock = [f"{x:.2f}" if x else "–" for x in row["stock_over_ours"]]
        rows.append([row["name"], ratio, interval(row["interval"]), row["verdict"], str(row["rounds"]), *stock])
    return rows


def learning_rows(found: Comparison) -> list[list[str]]:
    """Return a row for each ladder, under the columns LEARNING."""
    rows = []
    for learning in found.learnings:
        row = learning.to_dict()
        spread = "–" if row["seed_spread"] is None else f"{row['seed_spread']:.4f}"
        worth = [worth_text(each.get(learning.name)) for each in (found.compute, found.wall_time)]
        rows.append([row["name"], f"{learning.decision.mean:+.4f}", interval(row["interval"], "+.4f"), spread, changed_or(learning),
                     str(row["seeds"]), *worth])  # fmt: skip
    return rows


def document(found: Comparison, machine: dict[str, Any]) -> dict[str, Any]:
    """Return all that was found and what is said about it, fit for JSON and for the store.

    Args:
        machine: as ``laimbench.provenance.collect`` returns it.
    """
    words = {
        "speed": speed_word(found.timings),
        "learning": learning_word(found.learnings),
        "sentence": sentence(found),
    }
    tables = {"speed": speed_rows(found), "learning": learning_rows(found)}
    return {"verdict": words, **found.to_dict(), "tables": tables, "machine": machine}


def markdown(found: Comparison) -> str:
    """Return the verdict as a comment for a pull request."""
    a, b = (label.replace("|", "\\|").replace("`", "'") for label in found.labels)
    lines = [f"### laimbench track: `{a}` → `{b}`", "", sentence(found), ""]
    for columns, rows in ((SPEED, speed_rows(found)), (LEARNING, learning_rows(found))):
        if rows:
            lines.append(f"| {' | '.join(columns)} |")
            lines.append(f"| {' | '.join('---' if column in TEXT else '---:' for column in columns)} |")
            lines += [f"| {' | '.join(row)} |" for row in rows]
            lines.append("")
    return "\n".join(lines)


def interval(ends: list[float | None], form: str = ".3f") -> str:
    return "–" if None in ends else " to ".join(format(end, form) for end in ends)


def worth_text(found: Multiplier | str | None) -> str:
    return found.text() if isinstance(found, Multiplier) else f"none: {found}"
