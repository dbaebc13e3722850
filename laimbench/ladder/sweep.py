"""Run a ladder: paired runs take turns, everything is recorded as it comes, what is done is not done again.

Any number of processes may run the same ladder into one store: each takes the groups that nobody is at work on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from laimbench import provenance
from laimbench.errors import InputError, RunError, Unfinished
from laimbench.ladder.config import Ladder
from laimbench.ladder.plan import run_key
from laimbench.store import Claim, Leases, LostLease, Store
from laimbench.store.leases import MOST_DEATHS
from laimbench.train import Described, Evaluation, Keeper, RunConfig, Trainer, content_of, describe, save_checkpoint
from laimbench.train.device import require_here
from laimbench.train.keeper import EVERY_S
from laimbench.train.trunk import Trunk, prune, spent_of, trunk_key

Statuses = Mapping[str, tuple[str, str]]  # as Store.statuses gives them

POLL_S = 0.5  # between two looks at runs that other processes are at work on


@dataclass
class Outcome:
    """What a sweep did: counts of runs (``elsewhere``: by other processes meanwhile), one line per failure, and what was said about
    the data.
    """

    trained: int = 0
    skipped: int = 0
    elsewhere: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Listener:
    """What a sweep tells while it runs; the default does not listen."""

    def skipped(self, config: RunConfig) -> None: ...
    def started(self, config: RunConfig, trainer: Trainer) -> None: ...
    def stepped(self) -> None:
        """Before every group of runs and after every step; what it raises ends the sweep, with the state of the runs at work kept."""

    def evaluated(self, config: RunConfig, trainer: Trainer, evaluation: Evaluation) -> None: ...
    def finished(self, config: RunConfig, error: str) -> None: ...
    def note(self, message: str) -> None: ...


def sweep(
    ladder: Ladder,
    store: Store,
    *,
    listener: Listener | None = None,
    trainer: Callable[[RunConfig], Trainer] = Trainer,
    checkpoints: Path | None = None,
    save_every_s: float = EVERY_S,
    before: Statuses | None = None,
) -> Outcome:
    """Train every run of the ladder that the store does not hold as done.

    Runs that differ in their backend only are trained together, one segment each in turn, and who goes first changes from
    segment to segment: whatever else the machine does hits both alike. A run that fails is recorded with its message and
    the others go on; the next sweep trains it again. The state of runs at work is kept in ``store.states``
    (``laimbench.train.keeper``): after a kill they go on from there, bit for bit. Runs that another process is at work on are
    waited for, and taken over if it dies (``laimbench.store.leases``). Runs of several token budgets that may share a trunk do
    (``laimbench.train.trunk``). With ``checkpoints`` the trained models are kept in
    folders there, named by ``checkpoint_name``. ``before`` are the statuses when the sweep began of which this one is a part: what has
    failed since is not trained again (by default: since this call).

    Raises:
        InputError: the ladder's device is not here. RunError: the store or a run's state cannot be written; what is on disk is kept and
            gone on from.
    """
    require_here(ladder.device)
    listener = listener or Listener()
    outcome = Outcome()
    before = store.statuses() if before is None else before
    for config in ladder.runs:
        if _status(before, config) == "done":
            outcome.skipped += 1
            listener.skipped(config)
    trunks = _shared_trunks(ladder)
    with Leases(store) as leases:
        waiting = ladder.groups
        while waiting:
            busy, now = [], store.statuses()
            for group in waiting:
                listener.stepped()
                todo = unfinished(group, before, now)
                if todo:  # by now others may have done it, which a look says without keeping them from writing
                    todo = unfinished(todo, before, store.statuses([run_key(config) for config in todo]))
                if not todo:  # of a long ladder these are most, so nothing is asked of the store
                    _prune(trunks, group, store)
                    continue
                claims = leases.claim([run_key(config) for config in todo])
                if claims is None:
                    busy.append(group)
                    continue
                # Between the look at the store and the claim, another process may have finished them.
                still = unfinished(todo, before, store.statuses([claim.key for claim in claims]))
                claimed = {config: claim for config, claim in zip(todo, claims, strict=True) if config in still}
                if still and len(still) < len(group):
                    listener.note(
                        f"{still[0].size}: trained without its pair, which is done; their times are not paired"
                    )
                at_work = _Group(ladder.name, store, listener, outcome, checkpoints, save_every_s, trunks)
                if not at_work.train(claimed, trainer):
                    busy.append(group)
                leases.release(claims)
                _prune(trunks, group, store)
            waiting = busy
            if waiting:
                time.sleep(POLL_S)
    outcome.elsewhere = len(ladder.runs) - outcome.skipped - outcome.trained - len(outcome.failures)
    return outcome


def _status(statuses: Statuses, config: RunConfig) -> str:
    return statuses.get(run_key(config), ("", ""))[0]


def unfinished(runs: Sequence[RunConfig], before: Statuses, now: Statuses) -> list[RunConfig]:
    """Return the runs that are neither done nor, since ``before``, failed."""

    def ended(config: RunConfig) -> bool:
        key = run_key(config)
        status = now.get(key, ("", ""))[0]
        return status == "done" or (status == "failed" and now[key] != before.get(key))

    return [config for config in runs if not ended(config)]


def _shared_trunks(ladder: Ladder) -> dict[str, list[RunConfig]]:
    """Return the runs of each trunk that several of them share, by its key."""
    found: dict[str, list[RunConfig]] = {}
    for config in ladder.runs:
        key = trunk_key(config)
        if key is not None:
            found.setdefault(key, []).append(config)
    return {key: runs for key, runs in found.items() if len(runs) > 1}


def _trunk_folder(store: Store, key: str) -> Path:
    return store.states / f"trunk-{key}"


def _prune(trunks: dict[str, list[RunConfig]], group: Sequence[RunConfig], store: Store) -> None:
    """Remove what no run of the group's trunks will begin from any more."""
    for key in {trunk_key(config) for config in group} & trunks.keys():
        statuses = store.statuses([run_key(config) for config in trunks[key]])
        prune(_trunk_folder(store, key), [c for c in trunks[key] if _status(statuses, c) not in ("done", "failed")])


def checkpoint_name(config: RunConfig) -> str:
    """Return a name that tells runs apart for people, and by the beginning of the key for good."""
    parts = (
        config.family,
        config.size,
        config.tokens,
        config.dtype,
        f"s{config.seed}",
        config.backend,
        run_key(config)[:8],
    )
    return "-".join(map(str, parts))


@dataclass
class _Run:
    config: RunConfig
    claim: Claim
    trainer: Trainer
    keeper: Keeper | None
    id: int
    evaluated: int = 0


@dataclass
class _Group:
    """Runs that are trained together."""

    sweep_name: str
    store: Store
    listener: Listener
    outcome: Outcome
    checkpoints: Path | None
    save_every_s: float
    trunks: dict[str, list[RunConfig]] = field(default_factory=dict)
    active: list[_Run] = field(default_factory=list)

    def train(self, claimed: dict[RunConfig, Claim], trainer: Callable[[RunConfig], Trainer]) -> bool:
        """Train all to their end; return whether all of them are this process's to the end."""
        try:
            for config, claim in claimed.items():
                if claim.deaths >= MOST_DEATHS:
                    self._give_up(config, claim, f"{claim.deaths} processes died at work on it without getting any further "
                                  "(out of memory?)")  # fmt: skip
                    continue
                try:
                    built = trainer(config)
                except Unfinished:
                    raise
                except RunError as error:
                    self._give_up(config, claim, str(error))
                    continue
                self.active.append(self._open(config, claim, built))
                self.listener.started(config, built)
            segment = 0
            while self.active:
                behind = min(run.evaluated for run in self.active)  # after a kill they may not be equally far
                for run in list(self.active) if segment % 2 == 0 else list(reversed(self.active)):
                    if run.evaluated == behind:
                        self._advance(run)
                segment += 1
        except LostLease as lost:
            self.listener.note(str(lost))
            self._keep_states()
            return False
        except BaseException:
            self._keep_states()
            raise
        return True

    def _keep_states(self) -> None:
        for run in self.active:
            if run.keeper is not None:
                with suppress(RunError):  # what ended the group is what is told
                    run.keeper.save_last()

    def _open(self, config: RunConfig, claim: Claim, built: Trainer) -> _Run:
        """Go on with a run from its state, or begin it."""
        for note in built.notes:
            if note not in self.outcome.notes:
                self.outcome.notes.append(note)
                self.listener.note(f"data {config.data}: {note}")
        known, keeper, trunk, oddities = self.store.find(claim.key), None, None, None
        if isinstance(built, Trainer):
            if built.content != content_of(config):
                raise InputError(
                    f"data {config.data!r}: changed since the sweep began; start it again for runs of the new content"
                )
            keeper = Keeper(
                self.store.states / claim.key, built, every_s=self.save_every_s, token=claim.token,
                allowed=lambda: self.store.reached(claim, built.step), note=self.listener.note,
            )  # fmt: skip
            key = trunk_key(config)
            if key in self.trunks:
                trunk = Trunk(_trunk_folder(self.store, key), built)
            built.on_step = lambda: (keeper.after_step(), trunk and trunk.after_step(), self.listener.stepped())
            if known is not None and known.status == "running":
                oddities = keeper.resume()
        if oddities is not None:
            self.store.rewind(known.id, [evaluation.to_dict() for evaluation in built.evaluations], claim)
            for line in [*oddities, f"goes on from step {built.step} of {built.total_steps}"]:
                self.listener.note(f"{label(config)}: {line}")
            return _Run(config, claim, built, keeper, known.id, len(built.evaluations))
        begun = self._begin(config, claim, facts_of(config, built))
        if trunk is not None:
            trunk.begin()
            if built.step:
                self.listener.note(
                    f"{label(config)}: begins at step {built.step} of {built.total_steps}, from its trunk"
                )
        if keeper is not None:
            keeper.restart()
        return _Run(config, claim, built, keeper, begun)

    def _begin(self, config: RunConfig, claim: Claim, facts: dict) -> int:
        known = self.store.find(claim.key)
        if known is not None:
            self.store.discard(known.id, claim)
        return self.store.begin_run(claim.key, self.sweep_name, config.to_dict(), facts, provenance.collect(), claim)

    def _give_up(self, config: RunConfig, claim: Claim, error: str) -> None:
        """Record a run that cannot even begin as failed."""
        begun = self._begin(config, claim, facts_of(config, describe(config)))
        self.store.finish_run(begun, "failed", {}, error, claim)
        self.outcome.failures.append(f"{label(config)}: {error}")
        self.listener.note(self.outcome.failures[-1])

    def _advance(self, run: _Run) -> None:
        """Train a run up to its next evaluation, and finish it if that was the last."""
        if run.trainer.finished:  # it was killed after its last evaluation
            evaluation = run.trainer.evaluations[-1]
        else:
            try:
                evaluation = run.trainer.advance()
            except Unfinished:
                raise
            except RunError as error:
                self._finish(run, "failed", {}, str(error))
                self.outcome.failures.append(f"{label(run.config)}: {error}")
                return
            self.store.log(run.id, [evaluation.to_dict()], run.claim)
            if run.keeper is not None:
                run.keeper.after_evaluation()
        run.evaluated += 1
        self.listener.evaluated(run.config, run.trainer, evaluation)
        if run.trainer.finished:
            if self.checkpoints is not None:
                save_checkpoint(self.checkpoints / checkpoint_name(run.config), run.trainer, evaluation.to_dict())
            spent = spent_of(run.trainer) if isinstance(run.trainer, Trainer) else {}
            self._finish(run, "done", run.trainer.summary() | spent, "")
            self.outcome.trained += 1

    def _finish(self, run: _Run, status: str, summary: dict, error: str) -> None:
        self.store.finish_run(run.id, status, summary, error, run.claim)
        if run.keeper is not None:
            run.keeper.discard()
        self.active = [other for other in self.active if other is not run]
        self.listener.finished(run.config, error)


def label(config: RunConfig) -> str:
    """Return what lines for people call a run."""
    return f"{config.size} {config.backend} seed {config.seed}"


def facts_of(config: RunConfig, built: Trainer | Described) -> dict:
    """Return what the store notes of a run beside its configuration."""
    steps = config.total_steps
    return {
        "family": config.family,
        "size": config.size,
        "backend": config.backend,
        "dtype": config.dtype,
        "seed": config.seed,
        "params": built.params,
        "params_non_embedding": built.params_non_embedding,
        "tokens": steps * config.tokens_per_step,
        "flops": steps * built.flops_per_step,
    }
