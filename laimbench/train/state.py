"""Everything that a run's next step depends on, as tensors and plain values; a run that gets it back goes on bit for bit.

Batches depend on seed and step alone, so the step is the position in data and schedule. The random generators of torch, NumPy and
Python are kept for whatever draws from them. Bit for bit holds on the same machine with the same settings, which
``surroundings`` names.
"""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from laimbench.errors import InputError
from laimbench.train.config import ADDED_LATER, RunConfig
from laimbench.train.device import Device
from laimbench.train.trainer import Evaluation, Trainer

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of Adam and AdamW
WHOLE = "whole"  # a batch at once, by one process
# What states from before there were these fields do not say.
UNSAID = {name: value for name, value in vars(RunConfig()).items() if name in ADDED_LATER}


def capture(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a trainer's state: whole tensors that share memory with it, and values for JSON. Only valid ``between_steps``."""
    tensors, description = aside(trainer)
    whole = trainer.processes.gather("state", weights_and_moments(trainer))
    return {name: tensor.detach().contiguous() for name, tensor in whole.items()} | tensors, description


def aside(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what of a state is not as large as the model: the first process has it."""
    random_tensors, random_values = _random_state(trainer.device)
    tensors = {"segment_losses": torch.tensor(trainer.segment_losses, dtype=torch.float64), **random_tensors}
    return tensors, {
        "config": trainer.config.to_dict(),
        "facts": trainer.task.facts,
        "content": trainer.content,
        "step": trainer.step,
        "train_seconds": trainer.train_seconds,
        "segment_started_s": trainer.segment_started_s,
        "evaluations": [{k: None if v != v else v for k, v in e.to_dict().items()} for e in trainer.evaluations],
        "random": random_values,
        "surroundings": surroundings(trainer),
    }


def restore(
    trainer: Trainer, tensors: dict[str, Tensor], description: dict[str, Any], apart_from: tuple[str, ...] = ()
) -> None:
    """Put a fresh trainer of the same configuration (``apart_from`` some of its fields) into a captured state.

    Raises:
        InputError: the state is another run's, or its parts do not fit the model.
    """
    require_same_run(trainer, description, apart_from)
    moments = require_fit(trainer, {name: tensor.shape for name, tensor in tensors.items()})
    trainer.processes.announce("restore", int(moments))
    place(trainer, lambda name, like: trainer.processes.spread(tensors[name], like), moments)
    go_on(trainer, tensors, description)


def require_same_run(trainer: Trainer, description: dict[str, Any], apart_from: tuple[str, ...] = ()) -> None:
    """Refuse the state of a run of another configuration, ``apart_from`` some of its fields.

    Raises:
        InputError: it is another run's.
    """
    of_state, own = (
        {name: value for name, value in config.items() if name not in apart_from}
        for config in ({**UNSAID, **description["config"]}, trainer.config.to_dict())
    )
    data = trainer.task.facts, trainer.content
    if (of_state, description["facts"], description.get("content")) != (own, *data):
        raise InputError("it belongs to another configuration or other data")


def require_fit(trainer: Trainer, shapes: dict[str, torch.Size]) -> bool:
    """Return whether a state whose tensors have these shapes has moments: not before the first step.

    Raises:
        InputError: its tensors are not those of the trainer's model and optimizer.
    """
    moments = any(name.startswith("optimizer.") for name in shapes)
    own = {name: like.shape for name, like in like_parts(trainer, moments).items()}
    for beginning, said in (
        ("model.", "weights are not those of this model"),
        ("optimizer.", "moments are not those of this optimizer"),
    ):
        of_state, expected = ({k: v for k, v in found.items() if k.startswith(beginning)} for found in (shapes, own))
        if of_state != expected:
            raise InputError(f"its {said}")
    return moments


def weights_and_moments(trainer: Trainer) -> dict[str, Tensor]:
    """Return what of a state is as large as the model: in each process its part."""
    tensors = {f"model.{name}": tensor for name, tensor in _weights(trainer).items()}
    for index, values in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    return tensors


def like_parts(trainer: Trainer, moments: bool) -> dict[str, Tensor]:
    """Return tensors that are as those of ``weights_and_moments`` would be, with moments or without."""
    found = {f"model.{name}": weight for name, weight in _weights(trainer).items()}
    for index, weight in enumerate(_optimized(trainer) if moments else ()):
        found |= {f"optimizer.{index}.{name}": like for name, like in _like_moments(weight).items()}
    return found


def place(trainer: Trainer, part: Callable[[str, Tensor], Tensor], moments: bool) -> None:
    """Put weights, and the optimizer's ``moments`` if there are any yet, into this process's part of them.

    Args:
        part: gives this process's part of a tensor by its name and a tensor like it; called in the same order in all processes.
    """
    with torch.no_grad():
        for name, weight in _weights(trainer).items():
            weight.copy_(part(f"model.{name}", weight))
    state = {
        index: {name: part(f"optimizer.{index}.{name}", like) for name, like in _like_moments(weight).items()}
        for index, weight in enumerate(_optimized(trainer) if moments else ())
    }
    trainer.optimizer.load_state_dict({**trainer.optimizer.state_dict(), "state": state})


def go_on(trainer: Trainer, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Put everything but weights and moments as it was in a state."""
    trainer.step = description["step"]
    trainer.train_seconds = description["train_seconds"]
    trainer.segment_started_s = description["segment_started_s"]
    trainer.segment_losses = tensors["segment_losses"].tolist()
    trainer.evaluations = [
        Evaluation(**{k: math.nan if v is None else v for k, v in row.items()}) for row in description["evaluations"]
    ]
    _set_random_state(trainer.device, tensors, description["random"])


def changes(trainer: Trainer, description: dict[str, Any]) -> list[str]:
    """Return what a trainer's results may differ by from those of a state's, in words."""
    before, now = {"split": WHOLE, **description["surroundings"]}, surroundings(trainer)
    return [f"{name} {before.get(name)} is now {now[name]}" for name in now if before.get(name) != now[name]]


def surroundings(trainer: Trainer) -> dict[str, Any]:
    """Return what results may depend on beside the configuration."""
    from laimbench import __version__, build_info, provenance

    return {
        "laimbench": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "isa": build_info()["isa"],
        "machine": provenance.cpu_model(),
        "split": _split(trainer),
        **trainer.device.surroundings(),
    }


def _split(trainer: Trainer) -> str:
    """Return how a batch is divided: the order in which gradients are added up."""
    count, pieces = trainer.processes.count, trainer.execution.accumulate
    return WHOLE if count * pieces == 1 else f"{trainer.processes.kind} {count} x {pieces}".strip()


def _optimized(trainer: Trainer) -> list[Tensor]:
    return [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]


def _like_moments(weight: Tensor) -> dict[str, Tensor]:
    return {name: torch.zeros(()) if name == "step" else weight.detach() for name in MOMENTS}


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    """Return parameters, each once, and the buffers that belong to the model's state."""
    persistent = trainer.model.state_dict().keys()
    buffers = {name: buffer for name, buffer in trainer.model.named_buffers() if name in persistent}
    return dict(trainer.model.named_parameters()) | buffers


def _random_state(device: Device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the global one, for who uses it
    version, internal, next_gauss = random.getstate()
    tensors = {
        **{f"random.{name}": state for name, state in device.random_state().items()},
        "random.numpy": torch.from_numpy(keys.astype(np.int64)),
        "random.python": torch.tensor(internal, dtype=torch.int64),
    }
    return tensors, {"numpy": [position, has_gauss, gauss], "python": [version, next_gauss]}


def _set_random_state(device: Device, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    device.set_random_state({name.removeprefix("random."): tensor for name, tensor in tensors.items()})
    np.random.set_state(("MT19937", tensors["random.numpy"].numpy().astype(np.uint32), *values["numpy"]))  # noqa: NPY002
    version, next_gauss = values["python"]
    random.setstate((version, tuple(tensors["random.python"].tolist()), next_gauss))
