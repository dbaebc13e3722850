"""How a run is carried out: what changes its memory and its time, and its numbers by rounding only."""

from dataclasses import dataclass, fields

from laimbench.errors import InputError, require_at_least_one
from laimbench.train.config import RunConfig

PARALLEL = ("ddp", "fsdp")


@dataclass(frozen=True)
class Execution:
    """No part of ``RunConfig``, which is what a run is: a run that is carried out otherwise has the same key and goes on from the same state.

    parallel: of several processes, "ddp" (each has all weights) or "fsdp" (each has its share of them); "" for ddp where there are several.
    accumulate: micro-batches that a process takes its rows of a batch in, one after the other.
    checkpointing: keep only what goes into each block, and compute the block again in the backward.
    """

    parallel: str = ""
    accumulate: int = 1
    checkpointing: bool = False

    def __post_init__(self):
        for field in fields(self):
            if type(getattr(self, field.name)) is not type(field.default):
                kind = {str: "a string", int: "an integer", bool: "true or false"}[type(field.default)]
                raise InputError(f"{field.name} is {getattr(self, field.name)!r}, expected {kind}")
        if self.parallel not in ("", *PARALLEL):
            raise InputError(f"parallel is {self.parallel!r}, expected one of {', '.join(PARALLEL)}")
        require_at_least_one(self, "accumulate")

    def require_fit(self, config: RunConfig, processes: int) -> None:
        """Refuse a run that cannot be carried out like this by so many processes.

        Raises:
            InputError: its batch cannot be divided evenly, or its family has no blocks.
        """
        if config.batch_size % (processes * self.accumulate):
            raise InputError(
                f"batch_size is {config.batch_size}, expected a multiple of {processes * self.accumulate} "
                f"({processes} processes, {self.accumulate} micro-batches each)"
            )
        for name, asked in (("parallel", self.parallel == "fsdp"), ("checkpointing", self.checkpointing)):
            if asked and config.family == "mlp":
                raise InputError(f"{name} is {getattr(self, name)!r}, but family mlp has no blocks to divide it by")
