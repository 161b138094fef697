"""Reading the recorded outputs of the published implementation."""

import numpy as np
import torch

from gnet.models.gnet import Architecture, GNet
from gnet.models.interchange.names import from_published_encoder

RELATIVE = 1e-5


def tensors(path, prefix=""):
    with np.load(path) as arrays:
        return {
            name.removeprefix(prefix): torch.from_numpy(arrays[name])
            for name in arrays.files
            if name.startswith(prefix)
        }


def published_network(reference, voxels=None, **options):
    state = from_published_encoder(tensors(reference / "encoder_state.npz"))
    pixels = tensors(reference / "encoder_eval.npz")["images_uint8"].shape[-1]
    width = state["trunk.conv6b.conv.weight"].shape[0]
    network = GNet(Architecture(pixels=pixels, trunk_width=width, **options), voxels or {})
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("readouts.") for name in missing)
    return network


def assert_close(found, expected):
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    torch.testing.assert_close(found, expected, rtol=RELATIVE, atol=RELATIVE * expected.abs().max().item())
