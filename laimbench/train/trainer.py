"""Train one run, segment by segment, so that a caller can let paired runs take turns on a noisy machine."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laimbench.errors import InputError, RunError
from laimbench.models import prepare
from laimbench.models.blocks import blocks_of
from laimbench.train.checkpoint import start_from
from laimbench.train.config import RunConfig
from laimbench.train.device import device_of
from laimbench.train.execution import Execution
from laimbench.train.parallel import Process, naming_lost_process
from laimbench.train.schedule import SCHEDULES
from laimbench.train.tasks import Task, content_with, make_task

MOST_AHEAD, AHEAD_BYTES = 15, 1 << 20  # of batches that are prepared before their steps
NO_MEMORY = ("allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")  # in messages of torch


@dataclass(frozen=True)
class Evaluation:
    """The state of a run at one evaluation.

    train_s: seconds spent in training steps so far, without evaluation, data preparation and compilation.
    train_loss: mean over the steps since the last evaluation (NaN before the first step); losses in nats.
    tokens_per_s: over the same steps.
    """

    step: int
    tokens: int
    flops: float
    train_s: float
    train_loss: float
    val_loss: float
    tokens_per_s: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Described:
    """What is known of a run's model before it is trained."""

    params: int
    params_non_embedding: int
    flops_per_step: float


def describe(config: RunConfig) -> Described:
    """Load a run's data and shape its model, without memory for its weights: of any size."""
    with torch.device("meta"):
        return _described(make_task(config))


def _described(task: Task) -> Described:
    params = sum(p.numel() for p in task.model.parameters())
    return Described(params, params - task.embedding_params, task.flops_per_step)


class Trainer:
    """One run. The same seed gives the same weights at the start and the same batches, whatever the backend."""

    def __init__(self, config: RunConfig, execution: Execution | None = None, processes: Process | None = None):
        """Build data, model and optimizer, and warm up kernels and compilation without touching the run's state.

        Args:
            config: what the run is.
            execution: how it is carried out; by default each batch at once.
            processes: this process among those that train the run; by default the only one.

        Raises:
            InputError: the data source, the model's shape or the execution is wrong, or the device is not here. RunError: memory does
                not suffice, or an op has no kernel for the device.
            ProcessLost: another process ended.
        """
        self.config, self.execution, self.processes = config, execution or Execution(), processes or Process()
        self.execution.require_fit(config, self.processes.count)
        self.device = device_of(config.device, self.processes.local_rank)
        with naming_lost_process(), _naming_lack_of_memory(config):
            self._build(config)

    def _build(self, config: RunConfig) -> None:
        torch.manual_seed(config.seed)  # weights are drawn on the CPU, so that they are the same on every device
        self.task = make_task(config)
        self.model = self.task.model
        described = _described(self.task)
        self.params, self.params_non_embedding = described.params, described.params_non_embedding
        self.flops_per_step, self.notes = described.flops_per_step, self.task.notes
        if config.start:
            self.notes += start_from(self.model, Path(config.start))
        self.content = content_with(config, self.task.data)
        self.total_steps, self.tokens_per_step = config.total_steps, config.tokens_per_step
        self.step = 0
        self.evaluations: list[Evaluation] = []
        self._prepared: dict[int, tuple[Tensor, ...]] = {}  # batches by their step
        self.segment_losses: list[float] = []  # of the steps since the last evaluation
        self.segment_started_s = 0.0  # train_seconds at the last evaluation
        self.between_steps = True  # while not, the parts of the state are not of one moment
        self.on_step: Callable[[], None] = lambda: None  # called after every step; what it raises ends the run
        self.processes.announce("build")
        for block in blocks_of(self.model):
            block.checkpointing = self.execution.checkpointing
        self._loss_of = prepare(self.processes.shard(self.model, self.device), config.backend)
        self._schedule = SCHEDULES[config.schedule_name]
        self.optimizer = self._make_optimizer()
        self._validation = self.task.validation()
        self.train_seconds = 0.0
        with _naming_refusal(config):
            self._warm_up()

    @property
    def finished(self) -> bool:
        return bool(self.evaluations) and self.step >= self.total_steps and not self.segment_losses

    def advance(self) -> Evaluation:
        """Train up to the next evaluation point and evaluate there; the first call evaluates before any step.

        Raises:
            RunError: the loss is not finite, or memory does not suffice; the message names the step. ProcessLost: another
                process ended; this is no failure of the run.
        """
        with naming_lost_process(), _naming_lack_of_memory(self.config, self):
            return self._advance()

    def _advance(self) -> Evaluation:
        if self.evaluations:
            first = self.step - len(self.segment_losses)  # a resumed run may stand anywhere in its segment
            done = first * self.config.evals // self.total_steps
            segment = min(math.ceil((done + 1) * self.total_steps / self.config.evals), self.total_steps)
            while self.step < segment:
                self.train_step()
                self.on_step()
        evaluation = self._evaluate()
        self.between_steps = False
        self.evaluations.append(evaluation)
        self.segment_losses, self.segment_started_s = [], self.train_seconds
        self.between_steps = True
        return evaluation

    def train_step(self) -> float:
        """Take one step; return its loss. The batch is prepared outside the timed part."""
        self.processes.announce("step", self.step)
        self.between_steps = False
        loss = self.update(self.step)
        if not math.isfinite(loss):
            raise RunError(
                f"loss is {loss} at step {self.step} of {self.total_steps}; lower lr or raise warmup_fraction"
            )
        self.step += 1
        self.segment_losses.append(loss)
        self.between_steps = True
        return loss

    def update(self, step: int) -> float:
        """Take this process's part of a step, in the order of all processes; return the loss of the whole batch."""
        batch = self.device.move(self._batch(step))
        factor = self._schedule(step, self.total_steps, self.config.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.device.synchronize()
        started = time.perf_counter()
        loss = self._update(batch)
        self.device.synchronize()  # that there is a loss does not say that the optimizer's step is done
        self.train_seconds += time.perf_counter() - started
        return loss

    def _batch(self, step: int) -> tuple[Tensor, ...]:
        """Return the batch of a step. Small ones are prepared some steps ahead, one after the other: between steps, whose tensors fill the
        caches, the code for one takes three times as long.
        """
        if step not in self._prepared:
            first = self.task.batch(step)
            ahead = AHEAD_BYTES // max(1, sum(tensor.nbytes for tensor in first))
            later = range(step + 1, min(step + 1 + min(ahead, MOST_AHEAD), self.total_steps))
            self._prepared = {step: first} | {number: self.task.batch(number) for number in later}
        return self._prepared.pop(step)

    def whole_model(self) -> nn.Module:
        """Return the model with all its weights, however they are divided."""
        return self.processes.whole_model(self.task)

    def summary(self) -> dict[str, float]:
        """Return the family's final metrics on held-out data, for example accuracy, recall and f1."""
        self.task.model = self.whole_model().eval()
        try:
            with torch.no_grad():
                return self.task.summary()
        finally:
            self.task.model = self.model.train()

    def _update(self, batch: tuple[Tensor, ...]) -> float:
        predictions, pieces, losses = self.task.predictions(batch), self.execution.accumulate, []
        for i, part in enumerate(self.processes.micro_batches(batch, pieces)):
            share = self.task.predictions(part) / predictions
            with self.processes.adding_up(last=i == pieces - 1):
                with self._precision():
                    loss = self._loss_of(*part)
                # The mean of all rows, of which ddp and fsdp take the mean over processes.
                loss.backward(torch.full_like(loss, share * self.processes.count))
            losses.append((share, loss.detach()))
        if self.config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # Read at the end: reading one waits for the device, which meanwhile would have nothing to do.
        return self.processes.sum(sum(share * loss.item() for share, loss in losses))[0]

    def _precision(self):
        return torch.autocast(self.device.kind, dtype=torch.bfloat16) if self.config.dtype == "bf16" else nullcontext()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        rate = self.config.learning_rate
        if self.config.family == "mlp":
            return torch.optim.Adam(self.model.parameters(), lr=rate)
        matrices = [p for p in self.model.parameters() if p.dim() >= 2]
        vectors = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)

    def _warm_up(self) -> None:
        """Two updates on copies of the weights and a throw-away optimizer state, then put everything back."""
        weights = copy.deepcopy(self.model.state_dict())
        random_state = self.device.random_state()
        for _ in range(2):
            self._update(self.device.move(self.task.batch(0)))
        self.validation_loss()
        self.model.load_state_dict(weights)
        self.optimizer = self._make_optimizer()
        self.device.set_random_state(random_state)

    def validation_loss(self) -> float:
        """Return the mean loss on held-out data; each process takes every so many-th batch."""
        total = count = 0.0
        batches, rank = self._validation, self.processes.rank
        with self._evaluating(), self._precision():
            for first in range(0, len(batches), self.processes.count):
                # All make as many forward passes, for shards of weights are exchanged in them: a last one may count for nothing.
                batch = self.device.move(batches[min(first + rank, len(batches) - 1)])
                # The same (uncompiled) model for all: an odd last batch would compile a second time.
                predictions = self.task.predictions(batch) if first + rank < len(batches) else 0
                total += self.model(*batch).item() * predictions
                count += predictions
        total, count = self.processes.sum(total, count)
        return total / count

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()

    def _evaluate(self) -> Evaluation:
        self.processes.announce("evaluate")
        val_loss = self.validation_loss()
        if not math.isfinite(val_loss):
            raise RunError(f"validation loss is {val_loss} at step {self.step} of {self.total_steps}")
        count, seconds = len(self.segment_losses), self.train_seconds - self.segment_started_s
        return Evaluation(
            step=self.step,
            tokens=self.step * self.tokens_per_step,
            flops=self.step * self.flops_per_step,
            train_s=self.train_seconds,
            train_loss=sum(self.segment_losses) / count if count else math.nan,
            val_loss=val_loss,
            tokens_per_s=count * self.tokens_per_step / seconds if count else math.nan,
        )


@contextmanager
def _naming_refusal(config: RunConfig) -> Iterator[None]:
    """Make the run's failure of an op's refusal of a device that it has no kernel for, or none for these shapes."""
    try:
        yield
    except ValueError as error:
        if not config.device or isinstance(error, InputError):
            raise
        raise RunError(f"backend {config.backend!r} on device {config.device!r}: {error}") from None


@contextmanager
def _naming_lack_of_memory(config: RunConfig, trainer: Trainer | None = None) -> Iterator[None]:
    """Make the run's failure of what torch raises when it gets no memory; the system may also kill the process without a word."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(said in str(error) for said in NO_MEMORY):
            raise
        where = "before the first step" if trainer is None else f"at step {trainer.step} of {trainer.total_steps}"
        raise RunError(f"out of memory {where}; lower batch_size {config.batch_size} or the model's size") from None
