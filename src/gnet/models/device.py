"""Where the arithmetic runs, resolved in one place."""

from __future__ import annotations

import torch

from gnet.errors import DeviceError


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
