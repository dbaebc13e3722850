"""Evaluations where people look: TensorBoard, Weights & Biases, MLflow. Each is imported when it is asked for, and none is needed.

What is written is read back from the store, so that it is the same with any launcher, and a sweep that goes on writes on from there.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from laimbench.errors import InputError
from laimbench.store import Store

SHOWN = ("train_loss", "val_loss", "tokens", "flops", "train_s", "tokens_per_s")


class Writer(Protocol):
    """Takes the evaluations of runs. name: what tells a run apart for people."""

    def begin(self, key: str, name: str, config: dict[str, Any]) -> None: ...
    def write(self, key: str, step: int, values: dict[str, float]) -> None: ...
    def finish(self, key: str, done: bool) -> None: ...


class TensorBoard:
    """A folder of event files for each run."""

    def __init__(self, folder: str, sweep: str):
        self._make = _import("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._folder, self._open = Path(folder or "tensorboard") / sweep, {}

    def begin(self, key: str, name: str, config: dict[str, Any]) -> None:
        self._open[key] = self._make(str(self._folder / name))
        self._open[key].add_text("config", "\n".join(f"    {field}: {value}" for field, value in config.items()))

    def write(self, key: str, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._open[key].add_scalar(name, value, step)

    def finish(self, key: str, done: bool) -> None:
        self._open.pop(key).close()


class WandB:
    """A run of a project for each run, in the sweep's group; started again, it is the same one."""

    def __init__(self, project: str, sweep: str):
        self._wandb = _import("wandb", "wandb")
        self._project, self._sweep, self._open = project or "laimbench", sweep, {}

    def begin(self, key: str, name: str, config: dict[str, Any]) -> None:
        self._open[key] = self._wandb.init(
            project=self._project,
            group=self._sweep,
            name=name,
            id=key[:32],
            resume="allow",
            config=config,
            reinit="create_new",
        )

    def write(self, key: str, step: int, values: dict[str, float]) -> None:
        self._open[key].log(values, step=step)

    def finish(self, key: str, done: bool) -> None:
        self._open.pop(key).finish(exit_code=0 if done else 1)


class MLflow:
    """A run of the experiment that has the sweep's name for each run."""

    def __init__(self, uri: str, sweep: str):
        self._client = _import("mlflow", "mlflow").MlflowClient(uri or None)
        found = self._client.get_experiment_by_name(sweep)
        self._experiment = found.experiment_id if found else self._client.create_experiment(sweep)
        self._open: dict[str, str] = {}

    def begin(self, key: str, name: str, config: dict[str, Any]) -> None:
        run = self._client.create_run(self._experiment, run_name=name, tags={"key": key})
        self._open[key] = run.info.run_id
        for field, value in config.items():
            self._client.log_param(self._open[key], field, value)

    def write(self, key: str, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._open[key], name, value, step=step)

    def finish(self, key: str, done: bool) -> None:
        self._client.set_terminated(self._open.pop(key), "FINISHED" if done else "FAILED")


WRITERS = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def open_writers(texts: Sequence[str], sweep: str) -> list[Writer]:
    """Return the writers of ``tensorboard:FOLDER``, ``wandb:PROJECT``, ``mlflow:URI``, each with or without what follows the colon.

    Raises:
        InputError: another name, a package that is not installed, or a place that cannot be written to.
    """
    writers = []
    for text in texts:
        name, _, where = text.partition(":")
        if name not in WRITERS:
            raise InputError(f"--log is {text!r}, expected one of {', '.join(WRITERS)}, with :FOLDER, :PROJECT or :URI")
        try:
            writers.append(WRITERS[name](where, sweep))
        except (InputError, ModuleNotFoundError):
            raise
        except Exception as error:  # each library has its own
            raise InputError(f"--log {text}: {error}") from None
    return writers


class Logs:
    """Writes what the store has come to hold since the last look; evaluations from before this sweep's start are not written again.

    A writer that fails is left out from then on, with one ``note``: what it has to say costs no run.
    """

    def __init__(self, store: Store, writers: Sequence[Writer], note: Callable[[str], None] = print):
        self._store, self._writers, self._note, self._begun = store, list(writers), note, set()
        self._last = {}
        if writers:
            for run in store.runs(status="running"):
                self._last[run.key] = max((row.step for row in store.metrics(run.id)), default=-1)

    def look(self, key: str) -> None:
        """Write a run's new evaluations, and its end."""
        run = self._store.find(key) if self._writers else None
        if run is None:
            return
        if key not in self._begun:
            self._begun.add(key)
            name = f"{run.family}-{run.size}-{run.tokens}-{run.dtype}-s{run.seed}-{run.backend}-{key[:8]}"
            self._tell("begin", key, name, run.config)
        for row in self._store.metrics(run.id):
            if row.step > self._last.get(key, -1):
                self._last[key] = row.step
                values = {name: value for name, value in row.to_dict().items() if name in SHOWN and value is not None}
                self._tell("write", key, row.step, values)
        if run.status != "running":
            self._begun.discard(key)
            self._tell("finish", key, run.status == "done")

    def _tell(self, what: str, *values: Any) -> None:
        for writer in list(self._writers):
            try:
                getattr(writer, what)(*values)
            except Exception as error:  # each library has its own
                self._writers.remove(writer)
                self._note(f"{type(writer).__name__} is not written to any more: {error}")


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--log {package} needs the Python package {error.name}: pip install 'laimbench[{package}]'"
        ) from None
