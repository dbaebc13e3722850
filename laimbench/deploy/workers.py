"""Generation in threads beside an event loop: a bounded number at once, each of which can be stopped between two tokens."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_OVER = object()


class Workers:
    """Up to ``most`` iterators that run at the same time, each in a thread. For use on one event loop."""

    def __init__(self, most: int):
        self.running, self._most = 0, most
        self._pool = ThreadPoolExecutor(most, "generate")
        self._cancels: set[threading.Event] = set()

    @property
    def full(self) -> bool:
        return self.running >= self._most

    async def run(self, work: Iterator[Any], seconds: float) -> AsyncIterator[Any]:
        """Yield the items of ``work``; it is stopped at its next item when the caller stops or the time is over.

        A place is taken until the thread has really stopped. The caller has asked ``full``.

        Raises:
            TimeoutError: after ``seconds``. What ``work`` raises, too.
        """
        loop, items, cancel = asyncio.get_running_loop(), asyncio.Queue(), threading.Event()
        self.running += 1
        self._cancels.add(cancel)

        def stopped(_: asyncio.Future) -> None:
            self.running -= 1
            self._cancels.discard(cancel)

        thread = loop.run_in_executor(self._pool, _work, work, cancel, loop, items)
        thread.add_done_callback(stopped)
        deadline = loop.time() + seconds
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    item = await items.get()
                if item is _OVER or isinstance(item, BaseException):
                    await thread  # the place is free before the caller hears of the end
                if item is _OVER:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            cancel.set()

    def close(self) -> None:
        """Stop everything; no new work is taken."""
        for cancel in self._cancels:
            cancel.set()
        self._pool.shutdown(wait=False)


def _work(work: Iterator[Any], cancel: threading.Event, loop: asyncio.AbstractEventLoop, items: asyncio.Queue) -> None:
    """Hand the items over to the loop; the last is _OVER, or the exception that ended the work."""
    last: Any = _OVER
    try:
        while not cancel.is_set():
            item = next(work, _OVER)
            if item is _OVER:
                break
            loop.call_soon_threadsafe(items.put_nowait, item)
    except Exception as error:
        last = error
    try:
        work.close()
        loop.call_soon_threadsafe(items.put_nowait, last)
    except RuntimeError:  # the loop is closed: nobody waits any more
        pass
