"""Signals that end a sweep between two steps, where its state can be kept."""

import signal

from laimbench.errors import Terminated


class Interrupt:
    """Ctrl-C and SIGTERM that cannot get lost: Python drops an exception that comes up in a weak reference's callback, of which torch has
    many. The first signal is noted, and raised after the step at work; a second one raises where it comes.

    Use it as a context manager, in the main thread; it listens to ``signals``. ``check`` raises KeyboardInterrupt or Terminated.
    """

    def __init__(self, signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)):
        self._signals = signals
        self._noted: int | None = None

    def __enter__(self) -> "Interrupt":
        self._before = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        again, self._noted = self._noted is not None, number
        if again:
            self.check()

    def check(self) -> None:
        if self._noted == signal.SIGINT:
            raise KeyboardInterrupt
        if self._noted == signal.SIGTERM:
            raise Terminated("terminated; what is at work is kept, started again it goes on from there")
