"""Work on all cores, in order. By threads: what takes the time in this package, Pillow's resizing and zlib's
decompression, lets others run meanwhile.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """How many cores this process may use, which in a container or a batch job are not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int | None = None,
    *,
    ahead: int | None = None,
) -> Iterator[Result]:
    """Yield the function of each item in the items' order, computed by threads ahead of being asked for.

    At most `ahead` results wait to be taken, two a thread if it is not given, so memory is bounded however
    long the items are. What the function raises is raised when its item's turn comes; items not yet begun are
    then left.

    >>> list(in_order(len, ["a", "bcd", "ef"], threads=2))
    [1, 3, 2]
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
