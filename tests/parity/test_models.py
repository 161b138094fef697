"""Network and readouts give the numbers of the published implementation."""

import pytest
import torch

from gnet.models.interchange.names import from_published_encoder, from_published_readout
from gnet.models.readout import Readout
from gnet.models.trunk import grid_sizes
from recorded import assert_close, published_network, tensors


@torch.no_grad()
def test_evaluated_trunk(reference):
    recorded = tensors(reference / "encoder_eval.npz")
    network = published_network(reference).eval()
    fine, coarse = network.trunk(network.prefiltered(recorded["images_uint8"]))
    assert_close(fine, recorded["fmap0"])
    assert_close(coarse, recorded["fmap1"])
    assert_close(coarse[:, -network.trunk.width :], recorded["head"])
    assert grid_sizes(network.architecture.pixels) == (fine.shape[-1], coarse.shape[-1])


@torch.no_grad()
def test_training_trunk_without_dropout_and_its_running_statistics(reference):
    """In double precision, so that the only rounding is the recording's, which is most of the tolerance."""
    recorded = tensors(reference / "encoder_train_nodropout.npz")
    images = tensors(reference / "encoder_eval.npz")["images_uint8"]
    network = published_network(reference, dropout=0.0).train().double()
    with torch.no_grad():
        prefiltered = network.prefilter(images.double() / 255 - network.input_mean[:, None, None])
    fine, coarse = network.trunk(prefiltered)
    assert_close(fine.float(), recorded["fmap0"])
    assert_close(coarse.float(), recorded["fmap1"])
    after = {k.removeprefix("state_after/"): v for k, v in recorded.items() if k.startswith("state_after/")}
    state = network.state_dict()
    for name, expected in from_published_encoder(after).items():
        assert_close(state[name].to(expected.dtype), expected)


@pytest.mark.parametrize("form", ["layerwise", "single_field"])
@torch.no_grad()
def test_readout(reference, form):
    maps = tensors(reference / "encoder_eval.npz")
    maps = maps["fmap0"], maps["fmap1"]
    recorded = tensors(reference / f"readout_{form}.npz")
    state = from_published_readout(
        {name.removeprefix("state/"): value for name, value in recorded.items() if name.startswith("state/")}
    )
    readout = Readout(
        len(state["bias"]),
        [grid.shape[-1] for grid in maps],
        [grid.shape[1] for grid in maps],
        single_field=form == "single_field",
    )
    readout.load_state_dict(state)
    assert_close(readout(maps), recorded["prediction"])
