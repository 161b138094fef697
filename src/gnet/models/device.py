"""Where the arithmetic runs, resolved in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gnet.errors import DeviceError, ParameterError

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
    units = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [unit.fp32_precision for unit in units]
    try:
        for unit in units:
            unit.fp32_precision = "ieee" if name == "float32" else "tf32"
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        for unit, value in zip(units, before, strict=True):
            unit.fp32_precision = value
