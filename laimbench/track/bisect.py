"""Find the commit between a good and a bad one from which on something is worse, building as few as a binary search needs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from laimbench.errors import InputError, RunError
from laimbench.track.builds import build, git, resolve
from laimbench.track.compare import Settings, compare
from laimbench.track.process import Side
from laimbench.track.verdict import FINE, exit_code, sentence


@dataclass
class Found:
    """The first commit that is not fine: ``commit``, with its subject; ``why``: the verdict on it.

    skipped: commits that do not build; suspects: those of them right before ``commit``, any of which may be the first as well.
    """

    commit: str
    subject: str
    why: str
    built: int
    skipped: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        skipped = f" ({len(self.skipped)} commits do not build and were passed over)" if self.skipped else ""
        before = f", or one of the {len(self.suspects)} right before it that do not build" if self.suspects else ""
        return (
            f"{self.commit[:10]} {self.subject!r} is the first{before}: {self.why} {self.built} commits built{skipped}."
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def bisect(
    repository: Path, good: str, bad: str, suite: Path, settings: Settings, *, heard: Callable[[str], None] = lambda line: None,
    built: Callable[[Path, str], Side] = build,
) -> Found:  # fmt: skip
    """Search the first-parent history from ``good`` to ``bad``; every commit is compared with ``good``.

    Args:
        heard: is told one line per commit.

    Raises:
        InputError: the bad commit does not follow the good one, or is no worse than it. RunError: one of these two does not build.
    """
    first, last = resolve(repository, good), resolve(repository, bad)
    commits = git(repository, "rev-list", "--reverse", "--first-parent", "--ancestry-path", f"{first}..{last}").split()
    if not commits:
        raise InputError(f"{bad} does not follow {good}, expected a good commit and a later one")
    base, count, skipped = built(repository, first), 1, []

    def judged(commit: str) -> str:
        """ "" if fine, else the verdict."""
        nonlocal count
        side = built(repository, commit)
        count += 1
        comparison = compare(base, side, suite, settings)
        said = sentence(comparison)
        heard(said)
        return "" if exit_code(comparison) == FINE else said

    why = judged(commits[-1])
    if not why:
        raise InputError(f"{bad} is no worse than {good}: there is nothing to find")
    low, high = -1, len(commits) - 1  # low is fine (the good commit itself at first), high is not
    while places := [place for place in range(low + 1, high) if commits[place] not in skipped]:
        middle = (low + high) // 2
        place = min(places, key=lambda at: (abs(at - middle), at))
        try:
            verdict = judged(commits[place])
        except RunError as error:
            skipped.append(commits[place])
            heard(f"{commits[place][:10]} passed over: {error}")
            continue
        if verdict:
            high, why = place, verdict
        else:
            low = place
    subject = git(repository, "log", "-1", "--format=%s", commits[high])
    return Found(commits[high], subject, why, count, skipped, commits[low + 1 : high])
