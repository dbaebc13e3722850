"""Work on batches by a few threads, in order: array operations let go of the interpreter's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 2

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def in_threads(work: Callable[[Batch], Result], batches: Iterable[Batch], threads: int = THREADS) -> Iterator[Result]:
    """Yield ``work(batch)`` in the order of the batches, which are read as results are taken."""
    waiting: deque = deque()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 2 * threads:  # no more wait: memory stays bounded
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
