"""Show a sweep while it runs: bars with ETA and live loss in a terminal, one line per run elsewhere."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from laimbench.ladder.interrupt import Interrupt
from laimbench.ladder.plan import run_key
from laimbench.ladder.sweep import Listener
from laimbench.train import Evaluation, RunConfig, Trainer


def label(config: RunConfig) -> str:
    return f"{config.size} {config.tokens / 1e3:.0f}k {config.dtype} seed {config.seed} {config.backend}"


class SweepProgress(Listener):
    """A bar for the whole ladder, by FLOPs, and one for each run at work."""

    def __init__(self, console: Console, total_flops: float, changed: Callable[[str], None] = lambda key: None):
        """``changed`` is called with a run's key whenever the store has something new of it."""
        self.console, self.changed = console, changed
        self.bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.whole = self.bars.add_task("ladder", total=total_flops, loss="")
        self.runs: dict[RunConfig, tuple[int, float, Evaluation | None]] = {}
        self.interrupt = Interrupt()

    def __enter__(self) -> "SweepProgress":
        self.interrupt.__enter__()
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()
        self.interrupt.__exit__()

    def skipped(self, config: RunConfig) -> None:
        self.console.print(f"{label(config)}: done before")

    def started(self, config: RunConfig, trainer: Trainer) -> None:
        total, before = (steps * trainer.flops_per_step for steps in (trainer.total_steps, trainer.step))
        self.runs[config] = self.bars.add_task(label(config), total=total, completed=before, loss=""), before, None
        self.bars.advance(self.whole, before)
        self.interrupt.check()

    def stepped(self) -> None:
        self.interrupt.check()

    def evaluated(self, config: RunConfig, trainer: Trainer, evaluation: Evaluation) -> None:
        task, before, _ = self.runs[config]
        self.bars.update(task, completed=evaluation.flops,
                         loss=f"train {evaluation.train_loss:.3f}  val {evaluation.val_loss:.3f}")  # fmt: skip
        self.bars.advance(self.whole, evaluation.flops - before)
        self.runs[config] = task, evaluation.flops, evaluation
        self.changed(run_key(config))

    def finished(self, config: RunConfig, error: str) -> None:
        task, _, evaluation = self.runs[config]
        self.changed(run_key(config))
        self.bars.remove_task(task)
        if error:
            self.console.print(f"{label(config)}: failed: {error}")
        else:
            rate = evaluation.tokens / evaluation.train_s
            self.console.print(f"{label(config)}: val loss {evaluation.val_loss:.4f}, {rate:,.0f} tokens/s")

    def note(self, message: str) -> None:
        self.console.print(message)
