"""What each family trains on: model, batches, evaluation, behind one interface; a file per family."""

from pathlib import Path
from typing import Any

from laimbench.train.checkpoint import read_description
from laimbench.train.config import RunConfig
from laimbench.train.tasks.audio import AudioTask
from laimbench.train.tasks.bert import BERTTask
from laimbench.train.tasks.gpt import GPTTask
from laimbench.train.tasks.images import MLPTask, ViTTask
from laimbench.train.tasks.task import Task
from laimbench.train.tasks.transformer import TransformerTask

TASKS: dict[str, type[Task]] = {
    "gpt": GPTTask,
    "mlp": MLPTask,
    "bert": BERTTask,
    "transformer": TransformerTask,
    "vit": ViTTask,
    "audio": AudioTask,
}


def make_task(config: RunConfig) -> Task:
    """Load a run's data and build its model.

    Raises:
        InputError: a bad source, or a shape that no model has.
    """
    return TASKS[config.family](config)


_contents: dict[tuple, str] = {}


def content_of(config: RunConfig) -> str:
    """Return a hash of what a run's data and initial weights are read from, '' where the configuration says all about them.

    Files are read once in the life of a process, for each source.

    Raises:
        InputError: a bad source.
    """
    task = TASKS[config.family]
    source = (task.load, config.start, *(getattr(config, name) for name in task.READS))
    if source not in _contents:
        _contents[source] = content_with(config, task.load(config))
    return _contents[source]


def content_with(config: RunConfig, data: Any) -> str:
    """Return ``content_of`` with data that was loaded."""
    start = read_description(Path(config.start))["sha256"] if config.start else ""
    return " ".join(filter(None, (data.content, start)))


__all__ = ["TASKS", "Task", "content_of", "content_with", "make_task"]
