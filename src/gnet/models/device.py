"""Where the arithmetic runs, resolved in one place."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gnet.errors import DeviceError, ParameterError

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
"""Where Linux says how much memory is free, and how much a container may have."""

PRECISIONS = ("float32", "tf32", "bfloat16")


def resolve_device(name: str) -> torch.device:
    """Turn the parameter `device` into a torch device: `auto | cpu | cuda | cuda:n | mps`.

    `auto` takes the first CUDA device, else Apple's MPS, else the CPU.

    Raises
    ------
    DeviceError
        for a name that is none of these, or a device this machine does not have.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, colon, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and index.isdecimal())):
        raise DeviceError(f"device: expected auto, cpu, cuda, cuda:n or mps, got {name!r}.")
    if kind == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= found:
            raise DeviceError(
                f"device: {name!r} was asked for, but torch finds {found} CUDA devices here. "
                "Use `device: auto` or `device: cpu`, or install the CUDA build of torch and its driver."
            )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device: 'mps' was asked for, but this machine has none. Use `device: auto`.")
    return torch.device(name)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on the device; for the CPU, within its container's limit. None: unknown.

    >>> free_memory(torch.device("cpu")) != 0
    True
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if device.type != "cpu" or not MEMINFO.exists():
        return None
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit = CGROUP / "memory.max"
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int((CGROUP / "memory.current").read_text()))
    return free


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Inside, convolutions and matrix products on the device are done as the parameter `precision` says.

    `float32`: in full. `tf32`: operands rounded to 10 bits of mantissa where the device has units for that
    (CUDA); elsewhere the same as float32. `bfloat16`: operands rounded to 7 bits, by torch's autocast; sums,
    the non-linearity, weights and optimisers stay in float32.

    Raises
    ------
    ParameterError
        for another name.
    """
    if name not in PRECISIONS:
        raise ParameterError(f"precision: expected {', '.join(PRECISIONS)}, got {name!r}.")
    units: tuple[Any, Any] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [unit.fp32_precision for unit in units]
    try:
        for unit in units:
            unit.fp32_precision = "ieee" if name == "float32" else "tf32"
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        for unit, value in zip(units, before, strict=True):
            unit.fp32_precision = value


MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""What glibc's mallopt(3) calls M_MMAP_MAX and M_TRIM_THRESHOLD."""


@contextmanager
def large_arrays_kept() -> Iterator[None]:
    """Inside, arrays that are freed stay with the process, for the next ones of their size.

    By default the C library gives large arrays back at once, and the system hands out zeroed pages when the
    next batch asks for the same again: an eighth of a fit's time on a CPU. Does nothing but on Linux with
    glibc. At the end everything that is free goes back.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    try:
        library.mallopt(MMAP_MAX, 0)
        library.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        yield
    finally:
        library.mallopt(MMAP_MAX, 65536)  # the library's own defaults
        library.mallopt(TRIM_THRESHOLD, 2**17)
        library.malloc_trim(0)
