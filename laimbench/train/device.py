"""Where a run's tensors are, the CPU or a GPU, and all that a run does otherwise for it.

Nothing here touches CUDA when it is imported, nor before a run asks for it: processes are forked that each get a GPU of their own.
"""

import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from laimbench import provenance
from laimbench.errors import InputError

# In the environment, not empty: of PyTorch's kernels only those that give the same bits each time. Its fastest attention is none of them, so
# that unasked the other side of a comparison would be slower than it need be.
DETERMINISTIC = "LAIMBENCH_DETERMINISTIC"
VISIBLE = "CUDA_VISIBLE_DEVICES"


class Device:
    """The CPU, and what another device does otherwise. kind: as torch and its autocast call it; communication: of processes that train
    one run.
    """

    kind, communication = "cpu", "gloo"

    def place(self, model: nn.Module) -> nn.Module:
        """Put a model's weights on the device; return the model."""
        return model

    def move(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a batch on the device."""
        return batch

    def synchronize(self) -> None:
        """Wait until all that was begun on the device is done, as before a clock is read."""

    def random_state(self) -> dict[str, Tensor]:
        """Return the states of all random generators of torch that a run may draw from, by name."""
        return {"torch": torch.get_rng_state()}

    def set_random_state(self, states: Mapping[str, Tensor]) -> None:
        """Put the generators into states that ``random_state`` gave."""
        torch.set_rng_state(states["torch"])

    def surroundings(self) -> dict[str, str]:
        """Return what of the device results may depend on."""
        return {}


class GPU(Device):
    """A GPU of this machine, by its number among those that torch sees."""

    # What processes announce to each other stays on the CPU: it needs no GPU, and gloo notices at once who is gone.
    kind, communication = "cuda", "cpu:gloo,cuda:nccl"

    def __init__(self, number: int):
        if os.environ.get(DETERMINISTIC):
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses products of matrices
            torch.use_deterministic_algorithms(True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # a help in finding bugs, which costs time
        torch.cuda.set_device(number)  # which NCCL, fsdp and the generators below take
        self._device = torch.device("cuda", number)

    def place(self, model: nn.Module) -> nn.Module:
        return model.to(self._device)

    def move(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(tensor.to(self._device) for tensor in batch)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)

    def random_state(self) -> dict[str, Tensor]:
        return {**super().random_state(), "cuda": torch.cuda.get_rng_state(self._device)}

    def set_random_state(self, states: Mapping[str, Tensor]) -> None:
        super().set_random_state(states)
        torch.cuda.set_rng_state(states["cuda"], self._device)

    def surroundings(self) -> dict[str, str]:
        return {**provenance.gpu(), "deterministic": str(torch.are_deterministic_algorithms_enabled())}


def device_of(name: str, local_rank: int = 0) -> Device:
    """Return the device of this name (``RunConfig.device``); of several processes on a machine each gets a GPU of its own.

    Raises:
        InputError: it is not here.
    """
    require_here(name)
    if not name:
        return Device()
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"device is {name!r}, but torch sees {torch.cuda.device_count()} GPUs here, expected one for each of the "
            f"{local_rank + 1} or more processes on this machine"
        )
    return GPU(local_rank)


def require_here(name: str) -> None:
    """Refuse a device that torch does not see here.

    Raises:
        InputError: saying what to do about it.
    """
    if name and not torch.cuda.is_available():
        advice = (
            "install a CUDA build of torch" if torch.version.cuda is None else f"look at nvidia-smi and at {VISIBLE}"
        )
        raise InputError(
            f"device is {name!r}, but torch sees no CUDA device here (torch {torch.__version__}); {advice}, or use device cpu"
        )


def memories(name: str) -> list[int]:
    """Return the bytes of memory that runs on this device have: of the machine, or of each of its GPUs.

    Raises:
        InputError: it is not here.
    """
    require_here(name)
    if not name:
        return [provenance.memory_bytes()]
    return [torch.cuda.get_device_properties(number).total_memory for number in range(torch.cuda.device_count())]


def visible_gpus(count: int, given: str | None) -> Sequence[str]:
    """Return the names of the ``count`` GPUs that torch sees, as CUDA_VISIBLE_DEVICES takes them, whose value here is ``given``."""
    names = [name.strip() for name in given.split(",")] if given else [str(number) for number in range(count)]
    return names[:count]
