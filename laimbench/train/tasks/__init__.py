"""What each family trains on: model, batches, evaluation, behind one interface; a file per family."""

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


__all__ = ["TASKS", "Task", "make_task"]
