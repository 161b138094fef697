"""The trunk: its size, its grids and which of its maps the readout sees."""

import pytest
import torch

from gnet.errors import ParameterError
from gnet.models.prefilter import Prefilter
from gnet.models.trunk import COARSE, FINE, Trunk, grid_sizes, layer_features


def test_trainable_parameters_at_full_width():
    trunk = Trunk(64)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == 1_034_944
    assert all(parameter.requires_grad for parameter in trunk.parameters())


@pytest.mark.parametrize("pixels", [31, 34, 35, 39, 64, 75, 120, 227])
@torch.no_grad()
def test_grid_sizes_are_those_of_the_maps(pixels):
    fine, coarse = Trunk(2).eval()(Prefilter()(torch.zeros(1, 3, pixels, pixels)))
    assert (fine.shape[-1], coarse.shape[-1]) == grid_sizes(pixels)


def test_images_too_small_for_the_network():
    with pytest.raises(ParameterError, match="pixels: expected images of at least 31 pixels, got 30"):
        grid_sizes(30)


@torch.no_grad()
def test_the_readout_sees_the_first_maps_of_every_layer_in_order():
    """Layer by layer, as forward hooks saw them; the second half of a wide layer serves those above only."""
    trunk = Trunk(4).eval()
    seen = {}
    for name in (*FINE, *COARSE):
        getattr(trunk, name).register_forward_hook(lambda _, __, maps, name=name: seen.update({name: maps}))
    fine, coarse = trunk(torch.rand(2, 192, 8, 8, generator=torch.Generator().manual_seed(0)))
    features = layer_features(4)
    for maps, names in ((fine, FINE), (coarse, COARSE)):
        assert torch.equal(maps, torch.cat([seen[name][:, : features[name]] for name in names], dim=1))
    assert seen["conv4b"].shape[1] == 8
    assert seen["conv6b"].shape[1] == 4


def test_dropout_and_momentum_reach_every_layer():
    trunk = Trunk(2, dropout=0.3, momentum=0.2)
    for name in (*FINE, *COARSE):
        layer = getattr(trunk, name)
        assert (layer.dropout.p, layer.norm.momentum, layer.norm.eps) == (0.3, 0.2, 1e-5)
        assert isinstance(layer.dropout, torch.nn.Dropout2d)
        assert (layer.conv.bias == 0).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_first_layer_on_fixed_maps_is_the_same_layer(training):
    """Taken through the convolution, its norm gives the same maps, gradients and running statistics."""
    random = torch.Generator().manual_seed(0)
    prefiltered = torch.randn(5, 192, 6, 6, generator=random, dtype=torch.float64)
    outcomes = []
    for fixed in (True, False):
        torch.manual_seed(0)
        layer = Trunk(2).conv3.double().train(training)
        with torch.no_grad():  # far from where they start
            for tensor in (layer.norm.weight, layer.norm.bias, layer.norm.running_mean):
                tensor.copy_(torch.randn(tensor.shape, dtype=tensor.dtype))
        maps = layer(prefiltered.clone().requires_grad_(not fixed))
        maps.square().sum().backward()
        outcomes.append([maps, *(parameter.grad for parameter in layer.parameters()), *layer.norm.buffers()])
    assert len(outcomes[0]) == 1 + 4 + 3
    for found, expected in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected)
