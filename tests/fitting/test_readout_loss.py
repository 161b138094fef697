"""The sweep over blocks of voxels: the loss and the gradients that plain automatic differentiation finds."""

import pytest
import torch

import gnet.models.readout as readout_module
from gnet.fitting import passes
from gnet.fitting.objective import voxel_loss
from gnet.fitting.passes import Compiled, Operations, passes_for
from gnet.fitting.readout_loss import readout_loss
from gnet.models import nonlinearity
from gnet.models.nonlinearity import compress, compress_with_slope, load
from gnet.models.readout import Readout

GRIDS, FEATURES, IMAGES, VOXELS = (5, 3), (4, 6), 9, 7


def problem(form="layerwise", dtype=torch.float64, memory_format=torch.contiguous_format):
    """A readout far from where it starts, maps with both signs, and targets that it half predicts."""
    random = torch.Generator().manual_seed(0)
    readout = Readout(VOXELS, GRIDS, FEATURES, single_field=form == "single_field").to(dtype)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=dtype))
    maps = [
        (2 * torch.randn(IMAGES, count, side, side, generator=random, dtype=dtype)).to(
            memory_format=memory_format
        )
        for side, count in zip(GRIDS, FEATURES, strict=True)
    ]
    with torch.no_grad():
        target = readout(maps) + torch.randn(IMAGES, VOXELS, generator=random, dtype=dtype)
    return readout, maps, target


def outcome(loss_of, readout, maps, target, counts=None):
    """Loss, errors, and the gradients of everything that requires one."""
    loss, error = loss_of(readout, maps, target, counts=counts)
    (3 * loss).backward()  # the gradient that comes from above counts
    gradients = [tensor.grad for tensor in (*maps, *readout.parameters())]
    for tensor in (*maps, *readout.parameters()):
        tensor.grad = None
    return loss.detach(), error.detach(), gradients


def plainly(readout, maps, target, counts=None):
    return voxel_loss(readout(maps), target, counts=counts)


@pytest.mark.parametrize("form", ["layerwise", "single_field"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("voxels", "elements"), [(256, 2**16), (3, 3 * 6 * 2), (1, 1)])
@pytest.mark.parametrize("wanted", ["everything", "maps", "readout", "weight"])
@pytest.mark.parametrize("counted", [False, True])
def test_loss_and_gradients_are_those_of_automatic_differentiation(
    monkeypatch, form, memory_format, voxels, elements, wanted, counted
):
    monkeypatch.setitem(readout_module.BLOCK_VOXELS, "cpu", voxels)
    monkeypatch.setitem(readout_module.GROUP_ELEMENTS, "cpu", elements)
    readout, maps, target = problem(form, memory_format=memory_format)
    for grid in maps:
        grid.requires_grad_(wanted in ("everything", "maps"))
    for name, parameter in readout.named_parameters():
        parameter.requires_grad_(wanted in ("everything", "readout") or name == wanted)
    counts = torch.arange(1.0, IMAGES + 1, dtype=target.dtype) if counted else None
    loss, error, gradients = outcome(readout_loss, readout, maps, target, counts)
    expected_loss, expected_error, expected_gradients = outcome(plainly, readout, maps, target, counts)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(error, expected_error)
    assert any(gradient is not None for gradient in gradients)
    for found, expected in zip(gradients, expected_gradients, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            torch.testing.assert_close(found, expected)


def test_in_single_precision():
    """What a fit uses, with as many voxels and features as make several blocks and groups."""
    random = torch.Generator().manual_seed(0)
    readout = Readout(300, (6, 3), (160, 64))
    torch.nn.init.normal_(readout.weight, generator=random)
    maps = [
        torch.randn(11, count, side, side, generator=random).requires_grad_()
        for side, count in ((6, 160), (3, 64))
    ]
    target = torch.randn(11, 300, generator=random)
    found, expected = (outcome(loss, readout, maps, target) for loss in (readout_loss, plainly))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_without_gradients():
    readout, maps, target = problem()
    with torch.no_grad():
        loss, error = readout_loss(readout, maps, target)
    torch.testing.assert_close((loss, error), plainly(readout, maps, target))
    assert not loss.requires_grad


def test_no_gradient_flows_through_the_errors():
    readout, maps, target = problem()
    assert not readout_loss(readout, maps, target)[1].requires_grad


def test_slope_of_the_nonlinearity():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64, requires_grad=True)  # nought among them
    compress(x).sum().backward()
    value, slope = torch.empty(2, 101, dtype=torch.float64)
    compress_with_slope(x.detach(), value, slope)
    torch.testing.assert_close(slope, x.grad)
    torch.testing.assert_close(value, compress(x.detach()))


@pytest.mark.skipif(load()[0] is None, reason=load()[1])
@pytest.mark.parametrize("wanted", ["everything", "maps", "readout", "weight"])
@pytest.mark.parametrize("elements", [2**20, 256 * 160 * 4, 1])
@pytest.mark.parametrize(("product", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-9)])
def test_compiled_passes_find_what_torchs_operations_find(monkeypatch, wanted, elements, product, tolerance):
    """Blocks and groups of images that are not full. Each pass has its own bound in test_nonlinearity.py.

    Here errors of 1e-6 go through two matrix products. In bfloat16 they turn the rounding, by 2^-8, of one in
    some thousand elements; over a gradient as a whole less than half of one rounding remains.
    """
    random = torch.Generator().manual_seed(0)
    readout = Readout(300, (6, 3), (160, 64))
    torch.nn.init.normal_(readout.weight, generator=random)
    sizes = ((6, 160), (3, 64))
    maps = [torch.randn(11, count, side, side, generator=random).to(product) for side, count in sizes]
    for tensor in maps:
        tensor.requires_grad_(wanted in ("everything", "maps"))
    for name, parameter in readout.named_parameters():
        parameter.requires_grad_(wanted in ("everything", "readout") or name == wanted)
    target, ran = torch.randn(11, 300, generator=random), []
    monkeypatch.setattr(passes, "COMPILED_GROUP_ELEMENTS", elements)
    monkeypatch.setitem(readout_module.GROUP_ELEMENTS, "cpu", elements)  # sums are rounded where groups end
    monkeypatch.setattr(
        "gnet.fitting.readout_loss.passes_for", lambda *given: ran.append(passes_for(*given)) or ran[-1]
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=product == torch.bfloat16):
        loss, error, gradients = outcome(readout_loss, readout, maps, target)
        monkeypatch.setattr(nonlinearity, "load", lambda: (None, "switched off"))
        expected_loss, expected_error, expected_gradients = outcome(readout_loss, readout, maps, target)
    assert [type(of_grid) for of_grid in ran] == [Compiled, Compiled, Operations, Operations]
    torch.testing.assert_close(loss, expected_loss, rtol=tolerance, atol=0)
    torch.testing.assert_close(error, expected_error, rtol=10 * tolerance, atol=0)
    assert any(gradient is not None for gradient in gradients)
    for found, expected in zip(gradients, expected_gradients, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.dtype == expected.dtype
            assert torch.linalg.norm((found - expected).float()) < tolerance * torch.linalg.norm(
                expected.float()
            )
