"""The whole network: its parts in their order, and what it refuses."""

import jaxtyping
import numpy as np
import pytest
import torch

from gnet.errors import ParameterError
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import gabor_weights


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 47, 47), dtype=np.uint8))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return GNet(Architecture(47, trunk_width=4), {"subj01": 3, "subj02": 5}).eval()


def test_unknown_readout():
    with pytest.raises(ParameterError, match="readout: expected layerwise or single_field, got 'linear'"):
        Architecture(readout="linear")


def test_too_few_pixels():
    with pytest.raises(ParameterError, match="expected images of at least 31 pixels, got 20"):
        Architecture(20)


def test_unknown_subject(network, images):
    with pytest.raises(ParameterError, match="subj08: this model has readouts for subj01, subj02"):
        network(images, "subj08")


@pytest.mark.parametrize("shape", [(2, 3, 47, 48), (2, 3, 75, 75), (2, 1, 47, 47), (3, 47, 47)])
def test_images_of_another_shape(network, shape, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of shapes
    with pytest.raises(ParameterError) as caught:
        network.prefiltered(torch.zeros(shape, dtype=torch.uint8))
    assert str(caught.value) == (
        f"images: expected (n, 3, 47, 47), got {shape}. Prepare them with images.pixels: 47, "
        "or fit a model to these."
    )


@torch.no_grad()
def test_forward_is_prefilter_trunk_and_the_subjects_readout(network, images):
    assert network(images, "subj02").shape == (4, 5)
    maps = network.trunk(network.prefilter(images / 255))
    assert torch.equal(network(images, "subj01"), network.readouts["subj01"](maps))


@torch.no_grad()
def test_input_mean_is_subtracted_by_colour_and_nothing_divided(images):
    mean = np.array([0.2, 0.4, 0.6], np.float32)
    network = GNet(Architecture(47, trunk_width=4), {}, prefilter=gabor_weights(), input_mean=mean)
    centred = images / 255 - torch.from_numpy(mean).reshape(1, 3, 1, 1)
    torch.testing.assert_close(network.prefiltered(images), network.prefilter(centred))
    assert not torch.allclose(network.prefiltered(images), network.prefilter(images / 255))


def test_prefilter_weights_given_are_used(images):
    network = GNet(Architecture(47, trunk_width=4), {}, prefilter=gabor_weights())
    for name, tensor in network.prefilter.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), gabor_weights()[name])


@pytest.mark.parametrize("trainable", [False, True])
def test_prefilter_has_a_gradient_only_if_trainable(images, trainable):
    network = GNet(Architecture(47, trunk_width=4, trainable_prefilter=trainable), {"subj01": 2})
    network(images, "subj01").sum().backward()
    for parameter in network.prefilter.parameters():
        assert parameter.requires_grad == trainable
        assert (parameter.grad is not None) == trainable
    assert all(parameter.grad is not None for parameter in network.trunk.parameters())


def test_voxels_and_sizes_follow_the_architecture(network):
    assert network.voxels == {"subj01": 3, "subj02": 5}
    assert Architecture().grids == (25, 13)
    assert Architecture().features == (256, 256)
    assert Architecture(**network.architecture.as_dict()) == network.architecture
