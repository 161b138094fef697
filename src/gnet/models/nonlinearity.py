"""The readout's non-linearity: as torch's operations, and as compiled passes over memory.

Torch takes some twelve passes over an array for what the compiled functions do in one (`_nonlinearity.c`,
which states the errors of their approximations). They serve float32 and bfloat16 on the CPU. Where they were
not compiled, and for other devices and types, torch's operations give the same up to rounding.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_int64, c_void_p
from functools import cache
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

EXTENSION, VERSION = "gnet.models._nonlinearity", 1
"""The compiled library, and the version of its arguments that this file passes."""
SIZES = [c_int64] * 3
ARGUMENTS = {
    "gnet_compress": [c_void_p, c_int, c_void_p, c_int, *SIZES],
    "gnet_slope": [c_void_p, c_int, c_void_p, c_float, c_void_p, *SIZES],
    "gnet_responses": [c_void_p, c_int, c_void_p, c_void_p, *SIZES],
    "gnet_gradients": [c_void_p, c_int, c_void_p, c_void_p, c_void_p, *SIZES],
}
IS_HALF = {torch.float32: 0, torch.bfloat16: 1}


def compress(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The readout's non-linearity, `tanh(x) log(1 + |x|)`: quadratic near zero, logarithmic far from it."""
    if compiled_for(x) and not (x.requires_grad and torch.is_grad_enabled()):
        x = x.contiguous()
        value = torch.empty_like(x)
        _library().gnet_compress(*_typed(x), *_typed(value), 1, 1, x.numel())
        return value
    return torch.tanh(x) * torch.log1p(torch.abs(x))


def compress_with_slope(
    x: Float[Tensor, "*any"], value: Float[Tensor, "*any"], slope: Float[Tensor, "*any"]
) -> None:
    """Write the non-linearity at `x` and its slope there into `value` and `slope`; `value` may be `x`."""
    tanh, size = torch.tanh(x), torch.abs(x)
    log = torch.log1p(size)
    torch.mul(tanh, log, out=value)
    # (1 - tanh^2) log(1 + |x|) + |tanh| / (1 + |x|)
    torch.addcmul(log, tanh, value, value=-1, out=slope)
    slope += tanh.abs_().div_(size.add_(1))


@cache
def load() -> tuple[ctypes.CDLL | None, str]:
    """The compiled functions, or None; and, as a sentence's end, where they are or why they are not there."""
    found = find_spec(EXTENSION)
    if found is None or found.origin is None:
        return None, "torch's operations: no C compiler was there when gnet was installed"
    try:
        library = ctypes.CDLL(found.origin)
        version = c_int.in_dll(library, "gnet_version").value
    except (OSError, ValueError) as error:
        return None, f"torch's operations: {error}"
    if version != VERSION:
        return None, "torch's operations: compiled for another version of gnet; install it again"
    for name, types in ARGUMENTS.items():
        getattr(library, name).argtypes, getattr(library, name).restype = types, None
    return library, "compiled"


def compiled_for(*tensors: Tensor) -> bool:
    """Whether there are compiled functions for these tensors."""
    served = all(tensor.device.type == "cpu" and tensor.dtype in IS_HALF for tensor in tensors)
    return served and load()[0] is not None


def pixels_first(maps: Float[Tensor, "image k y x"], product: torch.dtype) -> Float[Tensor, "pixel image k"]:
    """The non-linearity of maps, which must be channels last, in the type of the products. Compiled."""
    images, features, y, x = maps.shape
    value = maps.new_empty(y * x, images, features, dtype=product)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    _library().gnet_compress(*_typed(maps), *_typed(value), images, y * x, features)
    return value


def gradient_of_maps(
    maps: Float[Tensor, "image k y x"], upstream: Float[Tensor, "pixel image k"], factor: float
) -> Float[Tensor, "image k y x"]:
    """`factor * upstream` times the slope at the maps of `pixels_first`. Compiled."""
    images, features, y, x = maps.shape
    gradient = torch.empty_like(maps, memory_format=torch.channels_last)
    _library().gnet_slope(
        *_typed(maps), _single(upstream), factor, gradient.data_ptr(), images, y * x, features
    )
    return gradient


def responses(
    phi: Float[Tensor, "voxel image k"], weight: Float[Tensor, "voxel k"]
) -> Float[Tensor, "voxel image"]:
    """The sum over features of the weighted non-linearity at phi. Compiled."""
    response = weight.new_empty(phi.shape[:2])
    assert phi.is_contiguous()
    _library().gnet_responses(*_typed(phi), _single(weight), response.data_ptr(), *phi.shape)
    return response


def gradients_(
    phi: Float[Tensor, "voxel image k"],
    weight: Float[Tensor, "voxel k"],
    towards: Float[Tensor, "voxel image"],
    weight_slope: Float[Tensor, "voxel k"],
) -> None:
    """Given the gradient at the responses, add that of weights, and replace phi by that at phi. Compiled."""
    assert phi.is_contiguous()
    of_voxels = _single(weight), _single(towards), _single(weight_slope)
    _library().gnet_gradients(*_typed(phi), *of_voxels, *phi.shape)


def _library() -> ctypes.CDLL:
    library, why_not = load()
    assert library is not None, why_not
    return library


def _typed(tensor: Tensor) -> tuple[int, int]:
    """Address, and whether the type is bfloat16."""
    return tensor.data_ptr(), IS_HALF[tensor.dtype]


def _single(tensor: Tensor) -> int:
    """Address of a contiguous array in float32."""
    assert tensor.is_contiguous()
    assert tensor.dtype == torch.float32
    return tensor.data_ptr()
