"""Work on batches by a few threads, in order: array operations let go of the interpreter's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 2
AHEAD = 2 * THREADS  # batches that wait at most: memory stays bounded

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def in_threads(work: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """Yield ``work(batch)`` in the order of the batches, which are read as results are taken."""
    waiting: deque = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
