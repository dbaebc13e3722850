"""The processes that train one run together: who takes which rows, and who has which weights.

The first process leads: it alone has the store and the console, decides when a state is written, and announces each thing that all have to do.
The others follow (``laimbench.train.follower``). So everything around a run is the same however many processes train it.
"""

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from laimbench.errors import InputError, Terminated, Unfinished
from laimbench.models.blocks import blocks_of
from laimbench.train.device import Device, device_of
from laimbench.train.tasks import Task

COMMANDS = ("build", "step", "evaluate", "state", "weights", "restore", "look", "part", "slices", "end")
MOST_SAID = 1024  # bytes that a process says to the others at once
# The others wait while the first prepares data. That a process died shows at once, by its closed connection.
PATIENCE = timedelta(days=1)


class ProcessLost(Unfinished):
    """Another process of the run ended."""


class Process:
    """The one process of a run, and what several do otherwise."""

    rank, count, kind = 0, 1, ""
    local_rank = 0  # among the processes of the run on this machine

    def announce(self, command: str, operand: int = 0, text: str = "") -> None:
        """Tell the others what the first process does next, which they have to do too."""

    def shard(self, model: nn.Module, device: Device) -> nn.Module:
        """Put the weights on the device, and divide them, or their gradients, among the processes; return what gives the loss of rows."""
        return device.place(model)

    def micro_batches(self, batch: tuple[Tensor, ...], count: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield this process's rows of a batch in equal parts."""
        rows = len(batch[0]) // (self.count * count)
        for part in range(self.rank * count, (self.rank + 1) * count):
            yield tuple(tensor[part * rows : (part + 1) * rows] for tensor in batch)

    def adding_up(self, last: bool) -> AbstractContextManager:
        """Return what forward and backward of a micro-batch run under; after the ``last`` one gradients are those of all processes."""
        return nullcontext()

    def sum(self, *values: float) -> tuple[float, ...]:
        """Return the sums over all processes."""
        return values

    def gather(self, command: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return whole tensors to the first process, of which the processes have parts; to the others none. They do the same at
        ``command``.
        """
        return tensors

    def spread(self, tensor: Tensor | None, like: Tensor) -> Tensor:
        """Return this process's part, as ``like`` is one, of a whole tensor that the first process has."""
        return tensor

    def whole_model(self, task: Task) -> nn.Module:
        """Return the task's model with all its weights, to the first process."""
        return task.model


class Several(Process):
    """One of the processes that torchrun started, as far as ddp and fsdp are alike."""

    def __init__(self):
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self.local_rank = _local_rank()

    def announce(self, command: str, operand: int = 0, text: str = "") -> None:
        if self.rank == 0:
            content = os.fsencode(text)
            with naming_lost_process():
                dist.broadcast(torch.tensor([COMMANDS.index(command), operand, len(content)]), 0)
                if content:
                    dist.broadcast(torch.tensor(list(content), dtype=torch.uint8), 0)

    def receive(self) -> tuple[str, int, str]:
        """Wait for what the first process announces."""
        message = torch.zeros(3, dtype=torch.int64)
        dist.broadcast(message, 0)
        command, operand, length = message.tolist()
        content = torch.zeros(length, dtype=torch.uint8)
        if length:
            dist.broadcast(content, 0)
        return COMMANDS[command], operand, os.fsdecode(bytes(content.tolist()))

    def report(self, text: str) -> list[str]:
        """Return what each process says here, up to MOST_SAID bytes of it."""
        content = text.encode(errors="replace")[:MOST_SAID].ljust(MOST_SAID, b"\0")
        said = [torch.zeros(MOST_SAID, dtype=torch.uint8) for _ in range(self.count)]
        with naming_lost_process():
            dist.all_gather(said, torch.tensor(list(content), dtype=torch.uint8))
        return [bytes(one.tolist()).rstrip(b"\0").decode(errors="replace") for one in said]

    def sum(self, *values: float) -> tuple[float, ...]:
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def spread(self, tensor: Tensor | None, like: Tensor) -> Tensor:
        part = torch.empty_like(like) if tensor is None else tensor.to(like.device).contiguous()
        with naming_lost_process():
            dist.broadcast(part, 0)
        return part


class Replicas(Several):
    """Every process has all weights and all of the optimizer; gradients are added up while the backward runs."""

    kind = "ddp"

    def shard(self, model: nn.Module, device: Device) -> nn.Module:
        self._replica = nn.parallel.DistributedDataParallel(device.place(model), gradient_as_bucket_view=True)
        return self._replica

    def adding_up(self, last: bool) -> AbstractContextManager:
        return nullcontext() if last else self._replica.no_sync()


class Shards(Several):
    """Every process has a share of weights, gradients and moments; a block's weights are whole only while it is at work. Gradients are
    added up after every micro-batch: until the last one they would be whole, which is what memory does not suffice for.
    """

    kind = "fsdp"

    def shard(self, model: nn.Module, device: Device) -> nn.Module:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        # A block's results may be views, which must not be added to in place; nothing here is.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        mesh = init_device_mesh(device.kind, (self.count,))  # where it moves the weights, block by block
        for block in blocks_of(model):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        return fully_shard(model, mesh=mesh, reshard_after_forward=True)  # what is in no block

    def gather(self, command: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        from torch.distributed.tensor import DTensor

        self.announce(command)
        found = {}
        with naming_lost_process():
            for name, tensor in tensors.items():
                whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
                if self.rank == 0:
                    found[name] = whole.cpu()  # all of them may be more than a GPU's memory
        return found

    def spread(self, tensor: Tensor | None, like: Tensor) -> Tensor:
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(like, DTensor):
            return super().spread(tensor, like)
        whole = torch.empty(like.shape, dtype=like.dtype) if tensor is None else tensor
        whole = whole.to(like.device)
        with naming_lost_process():
            return distribute_tensor(whole, like.device_mesh, like.placements)

    def own_rows(self, tensor: Tensor) -> tuple[int, int] | None:
        """Return the first row of a tensor that this process has, and the one after its last; None where every process has all of it."""
        from torch.distributed.tensor import DTensor

        return share(len(tensor), self.rank, self.count) if isinstance(tensor, DTensor) else None

    def as_part(self, rows: Tensor, like: Tensor) -> Tensor:
        """Return rows that this process has as its part, as ``like`` is one, of a tensor."""
        from torch.distributed.tensor import DTensor

        return DTensor.from_local(
            rows, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )

    def whole_model(self, task: Task) -> nn.Module:
        weights = self.gather("weights", dict(task.model.named_parameters()))
        model = task.build(task.config, task.facts)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        return model


def share(rows: int, rank: int, count: int) -> tuple[int, int]:
    """Return the first row of a tensor that a process has, and the one after its last, as fsdp divides it (``torch.chunk``)."""
    size = -(-rows // count)
    return min(rank * size, rows), min((rank + 1) * size, rows)


@contextmanager
def connected(parallel: str, device: str = "") -> Iterator[Process]:
    """Yield this process among those that torchrun started, connected; the followers are told of an end in good order.

    Raises:
        InputError: a way to work together, but no torchrun; half of what torchrun sets; or fewer GPUs than processes.
    """
    if "WORLD_SIZE" not in os.environ and parallel:
        raise InputError(
            f"parallel is {parallel!r}, but there is one process; start it by `torchrun --nproc-per-node N -m laimbench train`"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Process()
        return
    needed = ("RANK", "MASTER_ADDR", "MASTER_PORT") + (("LOCAL_RANK",) if device else ())
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not set, as torchrun sets it"
        )
    dist.init_process_group(device_of(device, _local_rank()).communication, timeout=PATIENCE)
    processes = Shards() if parallel == Shards.kind else Replicas()
    if processes.rank:
        # The first process ends the run after its step, when its state is kept; without it the connection closes.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    try:
        yield processes
    except (InputError, Terminated, KeyboardInterrupt):  # which come up between two steps
        _end(processes)
        raise
    else:
        _end(processes)


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _end(processes: Process) -> None:
    with suppress(ProcessLost):
        processes.announce("end")
    dist.destroy_process_group()


@contextmanager
def naming_lost_process() -> Iterator[None]:
    """Make a line of what torch raises when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo/transport" not in str(error):
            raise
        raise ProcessLost(
            "another process of the run ended; started again, it goes on from the last state that was kept"
        ) from None
