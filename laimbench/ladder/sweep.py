"""Run a ladder: paired runs take turns, everything is recorded as it comes, what is done is not done again."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from laimbench import provenance
from laimbench.errors import RunError
from laimbench.ladder.config import Ladder
from laimbench.ladder.plan import run_key
from laimbench.store import Store
from laimbench.train import Evaluation, Keeper, RunConfig, StateError, Trainer, save_checkpoint
from laimbench.train.keeper import EVERY_S


@dataclass
class Outcome:
    """What a sweep did: counts of runs, one line per failure, and what was said about the data."""

    trained: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Listener:
    """What a sweep tells while it runs; the default does not listen."""

    def skipped(self, config: RunConfig) -> None: ...
    def started(self, config: RunConfig, trainer: Trainer) -> None: ...
    def stepped(self) -> None:
        """After every step; what it raises ends the sweep, with the state of the runs at work kept."""

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
) -> Outcome:
    """Train every run of the ladder that the store does not hold as done.

    Runs that differ in their backend only are trained together, one segment each in turn, and who goes first changes from
    segment to segment: whatever else the machine does hits both alike. A run that fails is recorded with its message and
    the others go on. The state of runs at work is kept in ``states_of(store)`` (``laimbench.train.keeper``): after a kill
    they go on from there, bit for bit. With ``checkpoints`` the trained models are kept in folders there, named by
    ``checkpoint_name``.

    Raises:
        RunError: the store or a run's state cannot be written. What is on disk is kept and gone on from.
    """
    listener = listener or Listener()
    outcome = Outcome()
    for group in ladder.groups:
        open_runs = []
        for config in group:
            known = store.find(run_key(config))
            if known is not None and known.status == "done":
                outcome.skipped += 1
                listener.skipped(config)
                continue
            open_runs.append(config)
        if open_runs and len(open_runs) < len(group):
            listener.note(f"{open_runs[0].size}: trained without its pair, which is done; their times are not paired")
        _Group(ladder.name, store, listener, outcome, checkpoints, save_every_s).train(open_runs, trainer)
    return outcome


def states_of(store: Store) -> Path:
    """Return the folder beside a store where the state of its unfinished runs is kept, in a folder for each key."""
    return store.path.with_name(f"{store.path.name}.states")


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
    trainer: Trainer
    keeper: Keeper | None
    id: int


@dataclass
class _Group:
    """Runs that are trained together."""

    sweep_name: str
    store: Store
    listener: Listener
    outcome: Outcome
    checkpoints: Path | None
    save_every_s: float
    active: list[_Run] = field(default_factory=list)

    def train(self, configs: list[RunConfig], trainer: Callable[[RunConfig], Trainer]) -> None:
        try:
            for config in configs:
                self.active.append(self._open(config, trainer(config)))
                self.listener.started(config, self.active[-1].trainer)
            segment = 0
            while self.active:
                for run in list(self.active) if segment % 2 == 0 else list(reversed(self.active)):
                    self._advance(run)
                segment += 1
        except BaseException:
            for run in self.active:
                if run.keeper is not None:
                    with suppress(RunError):  # what ended the sweep is what is told
                        run.keeper.save_last()
            raise

    def _open(self, config: RunConfig, built: Trainer) -> _Run:
        """Go on with a run from its state, or begin it."""
        for note in built.notes:
            if note not in self.outcome.notes:
                self.outcome.notes.append(note)
                self.listener.note(f"data {config.data}: {note}")
        key = run_key(config)
        known, keeper, oddities = self.store.find(key), None, None
        if isinstance(built, Trainer):
            keeper = Keeper(states_of(self.store) / key, built, every_s=self.save_every_s)
            built.on_step = lambda: (keeper.after_step(), self.listener.stepped())
            if known is not None and known.status == "running":
                oddities = keeper.resume()
        if oddities is not None:
            self.store.rewind(known.id, [evaluation.to_dict() for evaluation in built.evaluations])
            for line in [*oddities, f"goes on from step {built.step} of {built.total_steps}"]:
                self.listener.note(f"{config.size} {config.backend} seed {config.seed}: {line}")
            return _Run(config, built, keeper, known.id)
        if known is not None:
            self.store.discard(known.id)
        if keeper is not None:
            keeper.discard()
        facts = facts_of(config, built)
        begun = self.store.begin_run(key, self.sweep_name, config.to_dict(), facts, provenance.collect())
        return _Run(config, built, keeper, begun)

    def _advance(self, run: _Run) -> None:
        """Train a run up to its next evaluation, and finish it if that was the last."""
        if run.trainer.finished:  # it was killed after its last evaluation
            evaluation = run.trainer.evaluations[-1]
        else:
            try:
                evaluation = run.trainer.advance()
            except StateError:
                raise
            except RunError as error:
                self._finish(run, "failed", {}, str(error))
                self.outcome.failures.append(f"{run.config.size} {run.config.backend} seed {run.config.seed}: {error}")
                return
            self.store.log(run.id, [evaluation.to_dict()])
            if run.keeper is not None:
                run.keeper.after_evaluation()
        self.listener.evaluated(run.config, run.trainer, evaluation)
        if run.trainer.finished:
            if self.checkpoints is not None:
                save_checkpoint(self.checkpoints / checkpoint_name(run.config), run.trainer, evaluation.to_dict())
            self._finish(run, "done", run.trainer.summary(), "")
            self.outcome.trained += 1

    def _finish(self, run: _Run, status: str, summary: dict, error: str) -> None:
        self.store.finish_run(run.id, status, summary, error)
        if run.keeper is not None:
            run.keeper.discard()
        self.active = [other for other in self.active if other is not run]
        self.listener.finished(run.config, error)


def facts_of(config: RunConfig, built: Trainer) -> dict:
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
