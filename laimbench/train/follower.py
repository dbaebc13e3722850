"""What a process does that trains a run with others and is not the first: its part of everything that the first one announces."""

from contextlib import suppress
from pathlib import Path

from laimbench.errors import InputError
from laimbench.train.config import RunConfig
from laimbench.train.execution import Execution
from laimbench.train.parallel import Several, naming_lost_process
from laimbench.train.parts import restore_from_slices, seen_by_all, write_part
from laimbench.train.state import place, weights_and_moments
from laimbench.train.trainer import Trainer


def follow(config: RunConfig, execution: Execution, processes: Several) -> None:
    """Take part in a run until the first process ends it.

    Raises:
        ProcessLost: another process ended. InputError, RunError: of this process's own data or memory.
    """
    trainer: Trainer | None = None
    while True:
        with naming_lost_process():
            command, operand, text = processes.receive()
            if command == "end":
                return
            if command == "build":
                trainer = Trainer(config, execution, processes)
            elif command == "step":
                trainer.update(operand)
            elif command == "evaluate":
                trainer.validation_loss()
            elif command == "restore":
                place(trainer, lambda name, like: processes.spread(None, like), moments=bool(operand))
            elif command == "look":
                seen_by_all(Path(text), processes)
            elif command == "part":
                with suppress(OSError):  # the first process says so, and whether the run ends
                    write_part(Path(text), trainer)
            elif command == "slices":
                with suppress(InputError):
                    restore_from_slices(Path(text), trainer)
            elif command == "state":
                processes.gather(command, weights_and_moments(trainer))
            else:
                processes.gather(command, dict(trainer.model.named_parameters()))
