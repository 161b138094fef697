"""A file object for h5py and torch that survives a full disk and Ctrl-C.

HDF5 does not survive a write that fails: on a full disk it ends the process when it closes the file (h5py
3.16, HDF5 2.0). torch survives, but raises another error than the original one. Both therefore write to a
file object that never fails while it is open, and reports the failure afterwards.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
HOLDING = (__name__, "h5py.", "torch.serialization", "weakref")  # h5py frees what it has by weak references


class SteadyFile(io.FileIO):
    """A new file. The first failure is kept, later writes are dropped, and `check` and `close` raise it.

    Inside h5py and `torch.save`, signals such as Ctrl-C wait for the next `check`; elsewhere they act
    immediately.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__(path, "w+")
        self._failure: BaseException | None = None
        self._signal: int | None = None
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        if threading.current_thread() is threading.main_thread():  # no other can change what a signal does
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._receive)

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if one did, or act on a signal that waits."""
        if self._signal is not None:
            number, self._signal = self._signal, None
            self._handlers[number](number, None)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Close the file, then `check`."""
        if not self.closed:
            super().close()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self.check()

    def write(self, data: Any) -> int:
        """Write all bytes of the data, or keep the reason why not."""
        rest = memoryview(data).cast("B")
        try:
            while len(rest) and self._failure is None:
                rest = rest[super().write(rest) :]
        except BaseException as error:
            self._failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file, or keep the reason why not."""
        try:
            if self._failure is None:
                super().truncate(size)
        except BaseException as error:
            self._failure = error
        return size or 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Act on a signal, unless what it raises would pass through HDF5, or be lost on the way."""
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.startswith(HOLDING):
                self._signal = number
                return
            frame = frame.f_back
        self._handlers[number](number, None)
