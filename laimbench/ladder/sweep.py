"""Run a ladder: paired runs take turns, everything is recorded as it comes, what is done is not done again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from laimbench import provenance
from laimbench.errors import RunError
from laimbench.ladder.config import Ladder
from laimbench.ladder.plan import run_key
from laimbench.store import Store
from laimbench.train import Evaluation, RunConfig, Trainer, save_checkpoint


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
) -> Outcome:
    """Train every run of the ladder that the store does not hold as done.

    Runs that differ in their backend only are trained together, one segment each in turn, and who goes first changes from
    segment to segment: whatever else the machine does hits both alike. A run that fails is recorded with its message and
    the others go on. A kill loses at most the runs of one group; they are trained again. With ``checkpoints`` the trained
    models are kept in folders there, named by ``checkpoint_name``.
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
            if known is not None:
                store.discard(known.id)
            open_runs.append(config)
        if open_runs and len(open_runs) < len(group):
            listener.note(f"{open_runs[0].size}: trained without its pair, which is done; their times are not paired")
        _train_group(ladder.name, open_runs, store, listener, trainer, outcome, checkpoints)
    return outcome


@dataclass
class _Run:
    config: RunConfig
    trainer: Trainer
    id: int


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


def _train_group(sweep_name, configs, store, listener, trainer, outcome, checkpoints) -> None:
    active = []
    for config in configs:
        built = trainer(config)
        for note in built.notes:
            if note not in outcome.notes:
                outcome.notes.append(note)
                listener.note(f"data {config.data}: {note}")
        active.append(_Run(config, built, store.begin_run(run_key(config), sweep_name, config.to_dict(),
                                                          facts_of(config, built), provenance.collect())))  # fmt: skip
        listener.started(config, built)
    segment = 0
    while active:
        for run in active if segment % 2 == 0 else reversed(list(active)):
            try:
                evaluation = run.trainer.advance()
            except RunError as error:
                store.finish_run(run.id, "failed", {}, str(error))
                outcome.failures.append(f"{run.config.size} {run.config.backend} seed {run.config.seed}: {error}")
                listener.finished(run.config, str(error))
                active = [other for other in active if other is not run]
                continue
            store.log(run.id, [evaluation.to_dict()])
            listener.evaluated(run.config, run.trainer, evaluation)
            if run.trainer.finished:
                if checkpoints is not None:
                    save_checkpoint(checkpoints / checkpoint_name(run.config), run.trainer, evaluation.to_dict())
                store.finish_run(run.id, "done", run.trainer.summary())
                outcome.trained += 1
                listener.finished(run.config, "")
                active = [other for other in active if other is not run]
        segment += 1


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
