"""The device for all computation: selection, memory and precision."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gnet.errors import DeviceError, ParameterError
from gnet.models import nonlinearity

MEMINFO, GROUPS, CGROUP = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux reports free memory, the groups of this process, and the limits of groups."""
PRECISIONS = ("float32", "tf32", "bfloat16")
MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""M_MMAP_MAX and M_TRIM_THRESHOLD of glibc's mallopt(3)."""


def resolve_device(name: str) -> torch.device:
    """Turn the parameter `device` into a torch device: `auto | cpu | cuda | cuda:n | mps`.

    `auto` takes the first CUDA device, else Apple's MPS, else the CPU. Raises DeviceError for any other name,
    or a device that this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    match = re.fullmatch(r"cpu|mps|cuda(?::([0-9]+))?", name)
    if match is None:
        raise DeviceError(f"device: expected auto, cpu, cuda, cuda:n or mps, got {name!r}.")
    if name.startswith("cuda"):
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(match[1] or 0) >= found:
            raise DeviceError(
                f"device: {name!r} was requested, but torch finds {found} CUDA devices. "
                "Use `device: auto` or `device: cpu`, or install the CUDA build of torch and its driver."
            )
    if name == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device: 'mps' was requested, but this machine has none. Use `device: auto`.")
    return torch.device(name)


def free_memory(device: torch.device) -> int | None:
    """Free bytes on the device; for the CPU, within the limits of its container or job. None: unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if device.type != "cpu" or not MEMINFO.exists():
        return None
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    return min([free, *free_of_groups()])


def free_of_groups() -> Iterator[int]:
    """Free bytes of each limited group that this process is in, such as a container or a Slurm job."""
    versions = {  # of control groups: the line of this process, the folder, the files of limit and use
        r"^0::(/.*)$": ("", "memory.max", "memory.current"),
        r"^\d+:[^:]*\bmemory\b[^:]*:(/.*)$": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    }
    written = GROUPS.read_text() if GROUPS.exists() else ""
    for line, (folder, limit, use) in versions.items():
        for own in re.findall(line, written, re.MULTILINE):
            for group in (Path(own), *Path(own).parents):
                level = CGROUP / folder / group.relative_to("/")
                if (level / limit).exists() and (text := (level / limit).read_text().strip()) != "max":
                    yield int(text) - int((level / use).read_text())


def resolve_precision(name: str, device: torch.device) -> str:
    """Turn the parameter `precision` into one of `PRECISIONS`; only `auto` leaves a choice.

    It is bfloat16 on a CPU that multiplies in bfloat16 (AVX-512 BF16 or AMX) and has the compiled pass, where
    an epoch takes less time at every size that was measured, and float32 elsewhere, also on GPUs, where
    nothing was measured. It depends on the machine alone, so that a run can be repeated on it.
    """
    if name != "auto":
        return name
    able = {"avx512_bf16", "amx_bf16"} & {name for name, has in torch.cpu.get_capabilities().items() if has}
    return "bfloat16" if device.type == "cpu" and able and nonlinearity.load()[0] else "float32"


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Context in which convolutions and matrix products on the device run at the given precision.

    `float32`: full precision. `tf32`: operands rounded to 10 bits of mantissa where the device supports it
    (CUDA), float32 elsewhere. `bfloat16`: operands rounded to 7 bits by torch's autocast; sums, the
    non-linearity, weights and optimisers stay in float32. Raises ParameterError for any other name.
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


@contextmanager
def large_arrays_kept() -> Iterator[None]:
    """Context in which freed memory stays with the process, to be reused by arrays of the same size.

    By default glibc returns large arrays to the system at once, which hands out zeroed pages when the next
    batch needs the same memory: an eighth of the time of a fit on a CPU. Works with glibc only.
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
        library.mallopt(MMAP_MAX, 65536)  # glibc's defaults
        library.mallopt(TRIM_THRESHOLD, 2**17)
        library.malloc_trim(0)  # give free memory back
