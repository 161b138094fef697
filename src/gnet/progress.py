"""Progress bars that share one console with Kedro's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich
from rich import progress

Item = TypeVar("Item")


def bar() -> progress.Progress:
    """An empty progress display: description, bar, count, elapsed and remaining time.

    Shown on the console that Kedro's log handler writes to, so that the two do not break each other's lines.
    Disabled where that is not a terminal (a log file, CI).
    """
    console = rich.get_console()
    count = progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn()
    times = progress.TimeElapsedColumn(), progress.TimeRemainingColumn()
    hidden = not console.is_terminal
    return progress.Progress(*count, *times, console=console, transient=True, disable=hidden)


def duration(seconds: float) -> str:
    """A duration in a readable unit.

    >>> duration(42.0), duration(400.0), duration(50_000.0)
    ('42 s', '7 min', '13.9 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` and show how many are done and how long the rest will take."""
    with bar() as shown:
        yield from shown.track(items, total=total, description=description)
