"""Checkpoints of the published code and of BERG give the predictions recorded with them."""

import pytest
import torch

from gnet.models.interchange.pickles import read_pickle
from gnet.models.interchange.reading import import_checkpoints
from gnet.models.interchange.writing import export_checkpoint
from recorded import assert_close, tensors

FORMS = {
    "published": ("model_params_gnet8j.pt", "checkpoint_predictions.npz"),
    "berg": ("weights_sub-01_roi-V1.pt", "checkpoint_berg_predictions.npz"),
}


@pytest.fixture(params=FORMS)
def recorded(reference, request):
    """Path of a checkpoint, images, and the prediction of each subject's voxels."""
    checkpoint, predictions = FORMS[request.param]
    images = tensors(reference / "encoder_eval.npz")["images_uint8"]
    predictions = tensors(reference / predictions, "prediction")
    return (
        reference / checkpoint,
        images,
        {key: value for key, value in predictions.items() if key.isdecimal()},
    )


@torch.no_grad()
def test_predictions(recorded):
    path, images, predictions = recorded
    [model] = import_checkpoints([path], pixels=images.shape[-1])
    assert {f"subj{int(key):02d}" for key in predictions} == set(model.voxel_index)
    for key, expected in predictions.items():
        subject = f"subj{int(key):02d}"
        assert_close(model.network(images, subject), expected)
        assert len(model.voxel_index[subject]) == len(model.voxels[subject].area) == expected.shape[1]


def test_export_gives_the_same_tensors_voxels_and_mean(recorded, tmp_path):
    path, images, _ = recorded
    [model] = import_checkpoints([path], pixels=images.shape[-1])
    export_checkpoint(model, tmp_path / "again.pt")
    ours, theirs = read_pickle(tmp_path / "again.pt"), read_pickle(path)
    mine, published = ours["best_params"], theirs["best_params"]
    assert mine["enc"].keys() == published["enc"].keys()
    for name, tensor in published["enc"].items():
        assert torch.equal(mine["enc"][name], tensor)
    assert mine["fwrfs"].keys() == published["fwrfs"].keys()
    for key, state in published["fwrfs"].items():
        assert mine["fwrfs"][key].keys() == state.keys()
        assert all(torch.equal(mine["fwrfs"][key][name], tensor) for name, tensor in state.items())
    for name in ("voxel_index", "brain_nii_shape"):
        for key, value in theirs.get(name, {}).items():
            assert (
                (ours[name][key] == value) if isinstance(value, tuple) else (ours[name][key] == value).all()
            )
    if "input_mean" in theirs:
        assert (ours["input_mean"] == theirs["input_mean"]).all()
