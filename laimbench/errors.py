"""The errors a user may see: one clear line each, and the exit code that goes with it."""


class LaimbenchError(Exception):
    """Base of all errors that laimbench raises on purpose; the message is one line for the user."""

    exit_code = 1


class InputError(LaimbenchError, ValueError):
    """Wrong input: the message names the file or argument, the field, and what was expected."""

    exit_code = 2


class MissingKernels(LaimbenchError, ImportError):
    """The compiled extension is not there or cannot be loaded."""


class RunError(LaimbenchError):
    """A run that could not be finished (NaN loss, full disk, lost store); what was done is kept."""

    exit_code = 1


class Unfinished(RunError):
    """What ended a run without failing it: started again, it goes on from its last state."""


class Terminated(LaimbenchError):
    """SIGTERM came: what was at work is kept and can be gone on with."""

    exit_code = 128 + 15  # as of a process that the signal ended


def require_at_least_one(settings: object, *names: str) -> None:
    """Refuse a configuration of which one of these numbers is below 1.

    Raises:
        InputError: naming the first of them.
    """
    for name in names:
        if getattr(settings, name) < 1:
            raise InputError(f"{name} is {getattr(settings, name)}, expected 1 or more")
