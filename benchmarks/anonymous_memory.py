"""Peak anonymous memory of this process during a block of code. Linux only.

Anonymous memory is what the process has allocated. Pages of files that it has mapped or read do not count:
the system reclaims them when needed.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

STATUS = Path("/proc/self/status")


def anonymous_bytes() -> int:
    """Current anonymous memory, in bytes."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", STATUS.read_text())[1]) * 1024


class Watch:
    """Context that measures wall time, CPU time (both in seconds) and peak anonymous memory of its block.

    Memory is sampled every 10 ms, so shorter-lived arrays may be missed.
    """

    def __enter__(self) -> Watch:
        self.before = self.peak = anonymous_bytes()
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        self._started, self._worked = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self.core_seconds = time.process_time() - self._worked
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.01):
            self.peak = max(self.peak, anonymous_bytes())
