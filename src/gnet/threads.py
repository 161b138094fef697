"""Parallel work on all cores, with results in order.

Threads suffice: Pillow's resizing and zlib's decompression release Python's global lock.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Number of cores this process may use, in a container or batch job often fewer than all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int | None = None,
    *,
    ahead: int | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, computed by threads ahead of the consumer.

    At most `ahead` results (default: two per thread) wait to be taken, so memory is bounded however many
    items there are. An exception is raised when its item's turn comes; items not yet started are skipped.
    """
    threads = usable_cores() if threads is None else threads
    ahead = 2 * threads if ahead is None else ahead
    waiting = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
