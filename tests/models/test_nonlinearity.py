"""The compiled passes of the non-linearity: as exact as they say, whatever the shape, type and threads."""

import math
import re
import shutil

import pytest
import torch

from gnet.models import nonlinearity
from gnet.models.nonlinearity import compress, compress_with_slope

F_ERROR, SLOPE_ERROR = 5e-7, 2e-6  # relative, absolute: `_nonlinearity.c`
ROUNDING, HALF_ROUNDING = 2**-24, 2**-8  # of a sum in single precision, relative; to bfloat16

compiled = pytest.mark.skipif(nonlinearity.load()[0] is None, reason=nonlinearity.load()[1])


def exactly(x):
    """Value and slope in double precision."""
    value, slope = torch.empty(2, *x.shape, dtype=torch.float64)
    compress_with_slope(x.double(), value, slope)
    return value, slope


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def last(maps):
    return maps.to(memory_format=torch.channels_last)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
def test_where_there_is_a_compiler_it_is_compiled():
    assert nonlinearity.load()[1] == "compiled"


@compiled
def test_errors_of_the_approximations():
    x = torch.cat([torch.logspace(-18, 5, 500_000), -torch.logspace(-18, 5, 50_001), torch.zeros(1)])
    value, slope = exactly(x)
    assert not ((compress(x) - value).abs() > F_ERROR * value.abs()).any()
    maps = x[None, :, None, None]
    found = nonlinearity.gradient_of_maps(last(maps), torch.ones(1, 1, len(x)), 1.0)
    assert not ((found.flatten() - slope).abs() > SLOPE_ERROR).any()


@compiled
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_stays_so(bad, dtype):
    phi, ones = torch.full((1, 1, 300), 0.5, dtype=dtype), torch.ones(1, 300)
    assert nonlinearity.responses(phi, ones).isfinite().all()
    phi[0, 0, 299] = bad
    assert not compress(phi)[0, 0, 299].isfinite()
    assert not nonlinearity.responses(phi, ones).isfinite().any()
    weight_slope = torch.zeros(1, 300)
    nonlinearity.gradients_(phi, ones, torch.ones(1, 1), weight_slope)
    assert weight_slope.isfinite().sum() == 299


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_to_bfloat16_is_torchs(dtype):
    maps = last(normal(3, 300, 5, 2, dtype=dtype))
    single, half = (nonlinearity.pixels_first(maps, product) for product in (torch.float32, torch.bfloat16))
    assert torch.equal(half, single.to(torch.bfloat16))


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("images", "features", "side"), [(3, 300, 4), (1, 1, 1), (2, 17, 1), (5, 1, 3)])
def test_maps_and_their_gradients(dtype, images, features, side):
    maps, upstream = (
        last(normal(images, features, side, side, dtype=dtype)),
        normal(side**2, images, features),
    )
    value, slope = (part.flatten(2).permute(2, 0, 1) for part in exactly(maps))
    found = nonlinearity.pixels_first(maps, torch.float32)
    assert not ((found - value).abs() > F_ERROR * value.abs()).any()
    expected = 3 * slope * upstream
    found = nonlinearity.gradient_of_maps(maps, upstream, 3.0)
    assert found.dtype == dtype
    bound = 3 * SLOPE_ERROR * upstream.abs() + (2 * ROUNDING + (dtype != torch.float32) * HALF_ROUNDING) * (
        expected.abs()
    )
    assert not ((found.flatten(2).permute(2, 0, 1) - expected).abs() > bound).any()


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 300), (9, 3, 256), (2, 100, 33)])
def test_responses_and_their_gradients(dtype, shape):
    """Against double precision: errors of the function and of rounding in sums, no more."""
    voxels, images, features = shape
    phi, weight, towards = (
        normal(*shape, dtype=dtype),
        normal(voxels, features),
        normal(voxels, images, seed=1),
    )
    value, slope = exactly(phi)
    terms = value * weight[:, None]
    bound = (F_ERROR + features * ROUNDING) * terms.abs().sum(2)
    assert not ((nonlinearity.responses(phi, weight) - terms.sum(2)).abs() > bound).any()

    terms, weight_slope = value * towards[:, :, None], torch.ones_like(weight)
    upstream = weight[:, None] * towards[:, :, None]
    nonlinearity.gradients_(phi, weight, towards, weight_slope)
    bound = (F_ERROR + (images + 1) * ROUNDING) * (terms.abs().sum(1) + 1)
    assert not ((weight_slope - 1 - terms.sum(1)).abs() > bound).any()
    rounding = 2 * ROUNDING + (HALF_ROUNDING if dtype == torch.bfloat16 else 0)
    bound = SLOPE_ERROR * upstream.abs() * (1 + rounding) + rounding * (slope * upstream).abs()
    assert not ((phi - slope * upstream).abs() > bound).any()


@compiled
def test_threads_change_nothing():
    phi, weight, towards = normal(33, 50, 70), normal(33, 70), normal(33, 50)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        at_phi, weight_slope = phi.clone(), torch.zeros_like(weight)
        response = nonlinearity.responses(at_phi, weight)
        nonlinearity.gradients_(at_phi, weight, towards, weight_slope)
        found.append(torch.cat([response.flatten(), weight_slope.flatten(), at_phi.flatten()]))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@compiled
def test_what_the_compiled_functions_do_not_serve():
    single = torch.ones(2)
    assert nonlinearity.compiled_for(single, single.bfloat16())
    for other in (single.double(), single.half(), torch.ones(2, device="meta")):
        assert not nonlinearity.compiled_for(single, other)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("EXTENSION", "gnet.models._nothing", "torch's operations: no C compiler was there"),
        ("EXTENSION", "gnet.models.readout", "torch's operations: .*readout.py"),
        ("VERSION", -1, "torch's operations: compiled for another version of gnet; install it again"),
    ],
)
def test_without_the_compiled_functions(monkeypatch, name, value, reason):
    if name == "VERSION" and nonlinearity.load()[0] is None:
        pytest.skip(nonlinearity.load()[1])
    monkeypatch.setattr(nonlinearity, name, value)
    monkeypatch.setattr(nonlinearity, "load", nonlinearity.load.__wrapped__)
    library, why_not = nonlinearity.load()
    assert library is None
    assert re.match(reason, why_not)
    x = normal(10)
    assert torch.equal(compress(x), torch.tanh(x) * torch.log1p(x.abs()))
