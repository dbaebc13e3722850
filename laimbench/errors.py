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
