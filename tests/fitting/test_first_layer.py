"""The faster form of the trunk is the trunk."""

import pytest
import torch

from gnet.fitting.first_layer import Seen, trunk_maps
from gnet.models.trunk import Trunk


def trunk(dropout=0.0):
    torch.manual_seed(0)
    made = Trunk(4, dropout=dropout).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.rand_like(parameter)
    return made


@pytest.mark.parametrize("training", [True, False])
def test_maps_gradients_and_statistics_are_those_of_the_trunk(training):
    images = torch.rand(5, 192, 6, 6, dtype=torch.float64)
    plain, fast = trunk().train(training), trunk().train(training)
    expected, found = plain(images), trunk_maps(fast, images)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    for maps in (expected, found):
        sum((grid**2).sum() for grid in maps).backward()
    for mine, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    for mine, theirs in zip(fast.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_prefilter_that_is_trained_gets_its_gradient():
    images = torch.rand(2, 192, 6, 6, dtype=torch.float64, requires_grad=True)
    sum(grid.sum() for grid in trunk_maps(trunk(), images)).backward()
    assert images.grad.abs().sum() > 0


def test_dropout_drops_whole_maps():
    """With dropout near 1 only the offset of the first layer remains, the same at every position."""
    layers = trunk(dropout=0.999)
    images = torch.rand(3, 192, 6, 6, dtype=torch.float64)
    fine, _ = trunk_maps(layers.train(), images)
    first = fine[:, :128].detach()
    torch.testing.assert_close(first, first[:, :, :1, :1].expand_as(first))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_the_maps_that_are_seen_lies_as_they_do(order):
    maps = torch.randn(2, 6, 3, 3, dtype=torch.float64).to(memory_format=order).requires_grad_()
    assert torch.equal(Seen.apply(maps, 4), maps[:, :4])
    assert torch.autograd.gradcheck(lambda maps: Seen.apply(maps, 4), maps)
    [gradient] = torch.autograd.grad(Seen.apply(maps, 4).sum(), maps)
    assert gradient.is_contiguous(memory_format=order)
