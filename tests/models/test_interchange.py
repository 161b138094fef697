"""Checkpoints from elsewhere: what they become, what is refused, and the way back."""

import argparse
import os
import traceback
import zipfile
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnet.errors import ModelFileError, ParameterError
from gnet.models.checkpoints import FittedModel, Voxels
from gnet.models.gnet import Architecture, GNet
from gnet.models.interchange.names import (
    METADATA,
    from_published_encoder,
    published_name,
    to_published_encoder,
)
from gnet.models.interchange.pickles import read_pickle
from gnet.models.interchange.reading import from_published, import_checkpoints
from gnet.models.interchange.writing import export_checkpoint, to_published

PIXELS, WIDTH, SHAPE = 47, 4, (5, 4, 3)
GUESSED = 51  # 47 to 54 pixels give maps of the same size; 51 is to them what 227 is to 223 to 230
INDEX = {"subj01": np.array([30, 10, 20]), "subj02": np.array([5, 50])}


def make_model(seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    architecture = Architecture(
        PIXELS, **{"trunk_width": WIDTH, "dropout": 0.2, "batch_norm_momentum": 0.1, **options}
    )
    network = GNet(architecture, {s: len(i) for s, i in INDEX.items()}, input_mean=np.array([0.4, 0.5, 0.6]))
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    areas = {"subj01": np.array(["V1", "größer", ""]), "subj02": np.array(["V1", "V1"])}
    return FittedModel(
        network.eval(),
        {subject: Voxels(index, areas[subject], SHAPE) for subject, index in INDEX.items()},
        ("V1", "größer"),
        {"protocol": "published", "seed": 3, "none": None},
        pd.DataFrame(
            {"epoch": [1, 2], "loss": [0.5, 0.25], "holdout_median_r": [0.1, np.nan], "best": [True, False]}
        ),
    )


def areas(model):
    return {subject: voxels.area.tolist() for subject, voxels in model.voxels.items()}


def shapes(model):
    return {subject: voxels.shape for subject, voxels in model.voxels.items()}


def pictures(pixels):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, pixels, pixels), dtype=torch.uint8, generator=generator)


@pytest.fixture
def checkpoint():
    """As a published GNet8j would be."""
    exported = to_published(make_model())
    del exported[METADATA]
    return exported | {"voxel_roi": {1: np.array([1, 7, 9]), 2: np.array([4, -1])}}


@pytest.fixture
def berg(checkpoint):
    """As BERG would store subject 1; rf0 is on the prefilter's grid."""
    model = make_model(prefilter_readout=True)
    best = to_published(model)["best_params"]
    volume = np.zeros(SHAPE, bool)
    volume.flat[[3, 11, 40]] = True
    return {
        "args.": argparse.Namespace(used_nsd_sub=1, roi="V1", split_roi=0, split=1),
        "best_params": {"enc": best["enc"], "fwrfs": {1: best["fwrfs"][1]}},
        "trn_hist": [1.0, 0.5],
        "hold_hist": [1.0, 0.7],
        "best_epoch": 1,
        "betas_info": {1: {"volume_shape": SHAPE, "roi_mask_volume": volume}},
    }


def assert_same_model(found, expected):
    state = found.network.state_dict()
    assert state.keys() == expected.network.state_dict().keys()
    for name, tensor in expected.network.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    assert found.network.architecture == expected.network.architecture
    assert not found.network.training
    assert (found.areas, found.configuration) == (expected.areas, expected.configuration)
    assert (shapes(found), areas(found)) == (shapes(expected), areas(expected))
    for subject, index in expected.voxel_index.items():
        np.testing.assert_array_equal(found.voxel_index[subject], index)
    pd.testing.assert_frame_equal(found.history, expected.history)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "single_field"},
        {"pass_through": 12},
        {"prefilter_readout": True},
        {"trainable_prefilter": True},
    ],
)
def test_export_and_back_is_the_identity(tmp_path, options):
    model = make_model(**options)
    export_checkpoint(model, tmp_path / "model.pt")
    [again] = import_checkpoints([tmp_path / "model.pt"])
    assert_same_model(again, model)


def test_exported_files_have_what_the_published_code_reads():
    exported = to_published(make_model())
    assert list(exported["best_params"]["fwrfs"]) == [1, 2]
    assert exported["input_mean"].shape == exported["best_params"]["enc"]["mu"].shape == (1, 3, 1, 1)
    assert exported["brain_nii_shape"] == {1: SHAPE, 2: SHAPE}
    assert np.flatnonzero(exported["voxel_mask"][1]).tolist() == [10, 20, 30]
    assert exported["voxel_roi"][1].tolist() == [1, 0, 0]
    assert np.isnan(exported["val_cc"][2]).all()
    assert (exported["trn_loss_history"], exported["best_epoch"]) == ([0.5, 0.25], 0)


def test_encoder_names_and_back():
    state = make_model().network.state_dict()
    published = to_published_encoder(state)
    again = from_published_encoder(published)
    assert {name: tensor.shape for name, tensor in again.items()} == {
        name: tensor.shape for name, tensor in state.items() if not name.startswith("readouts.")
    }
    assert published_name("trunk.conv3.norm.running_var") == "enc.bn1.running_var"
    with pytest.raises(ModelFileError, match=r"no tensor named 'enc\.conv9\.weight'"):
        from_published_encoder({"enc.conv9.weight": torch.zeros(1)})


def test_joint_model(checkpoint):
    model = from_published(checkpoint, "gnet8j.pt")
    assert {s: i.tolist() for s, i in model.voxel_index.items()} == {
        "subj01": [30, 10, 20],
        "subj02": [5, 50],
    }
    assert areas(model) == {
        "subj01": ["V1", "hV4", ""],
        "subj02": ["V2", ""],
    }
    assert model.areas == ("V1", "V2", "hV4")
    assert shapes(model) == {"subj01": SHAPE, "subj02": SHAPE}
    assert model.configuration["imported"] == "gnet8j.pt"
    assert model.configuration["num_epochs"] == 2
    assert model.network.architecture.trunk_width == WIDTH


def test_area_wise_model_has_the_voxels_of_its_group(checkpoint):
    """All files of GNet8r list every voxel of the four areas; `group_mask` says which are the file's."""
    everyone = {1: np.arange(40), 2: np.arange(40, 46)}
    mask = {1: np.isin(everyone[1], [7, 9, 33]), 2: np.isin(everyone[2], [40, 45])}
    labels = {key: np.full(len(index), 3) for key, index in everyone.items()}
    area_wise = checkpoint | {
        "voxel_index": everyone,
        "voxel_roi": labels,
        "group_mask": mask,
        "group_name": "V2",
    }
    model = from_published(area_wise, "V2")
    assert model.voxel_index["subj01"].tolist() == [7, 9, 33]
    assert model.voxel_index["subj02"].tolist() == [40, 45]
    assert model.areas == ("V2",)
    assert set(model.voxels["subj01"].area) == {"V2"}
    assert model.configuration["group_name"] == "V2"


def test_transfer_names_the_area_of_its_trunk(checkpoint):
    model = from_published(checkpoint | {"group_name": "V3"}, "V3")
    assert model.configuration["group_name"] == "V3"
    assert model.areas == ("V1", "V2", "hV4")


def test_berg(berg):
    model = from_published(berg, "weights_sub-01_roi-V1.pt")
    assert model.network.architecture == Architecture(GUESSED, trunk_width=WIDTH, prefilter_readout=True)
    assert model.voxel_index["subj01"].tolist() == [3, 11, 40]
    assert model.areas == ("V1",)
    assert shapes(model) == {"subj01": SHAPE}
    assert model.configuration["used_nsd_sub"] == 1
    assert model.history["best"].tolist() == [False, True]


@torch.no_grad()
def test_the_readout_sees_conv1_then_conv2_first():
    network = make_model(prefilter_readout=True).network
    images = pictures(PIXELS)
    prefilter, fine, coarse = network.trunk(network.prefiltered(images))
    conv1 = torch.relu(network.prefilter.conv1(images / 255 - network.input_mean[:, None, None]))
    conv1 = torch.nn.functional.max_pool2d(conv1, 3, stride=2)
    conv2 = torch.relu(network.prefilter.conv2(conv1))
    torch.testing.assert_close(prefilter, torch.cat([conv1, conv2], dim=1))
    assert tuple(grid.shape[-1] for grid in (prefilter, fine, coarse)) == network.architecture.grids
    assert tuple(grid.shape[1] for grid in (prefilter, fine, coarse)) == network.architecture.features
    plain = GNet(Architecture(PIXELS, trunk_width=WIDTH), {}).eval()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("readouts.")})
    for mine, theirs in zip((fine, coarse), plain.trunk(plain.prefiltered(images)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_256_channel_variant_is_recognised_from_shapes():
    model = make_model(trunk_width=64, pass_through=192)
    exported = to_published(model)
    del exported[METADATA]
    assert exported["best_params"]["enc"]["enc.conv4b.conv1.weight"].shape[:2] == (256, 256)
    found = from_published(exported, "variant", pixels=PIXELS).network
    assert (found.architecture.trunk_width, found.architecture.pass_through) == (64, 192)
    images = pictures(PIXELS)
    with torch.no_grad():
        assert torch.equal(found(images, "subj01"), model.network(images, "subj01"))


def test_image_size_is_guessed_from_the_fields_or_given(checkpoint):
    assert from_published(checkpoint, "x").network.architecture.pixels == GUESSED
    for pixels in (47, 54):
        assert from_published(checkpoint, "x", pixels=pixels).network.architecture == Architecture(
            pixels, WIDTH
        )
    for pixels in (46, 55, 75):
        with pytest.raises(
            ParameterError, match=f"pixels: images of {pixels} give .* fields for 3 x 3: give 47 to 54"
        ):
            from_published(checkpoint, "x", pixels=pixels)
    published = Architecture()
    assert (published.pixels, published.grids[0]) == (8 * (published.grids[0] + 3) + 3, 25)


# files of several parts


def save(path, checkpoint):
    torch.save(checkpoint, path)
    return path


def split(berg, number):
    """One part of a split area, as BERG fits it: both parts carry the mask of the whole area."""
    half = slice(0, 2) if number == 1 else slice(2, 3)
    fwrf = {name: tensor[half].clone() for name, tensor in berg["best_params"]["fwrfs"][1].items()}
    arguments = argparse.Namespace(roi="ventral", split_roi=1, split=number)
    return berg | {"args.": arguments, "best_params": berg["best_params"] | {"fwrfs": {1: fwrf}}}


@torch.no_grad()
def test_split_files_are_concatenated(tmp_path, berg):
    paths = [save(tmp_path / f"split-{number}.pt", split(berg, number)) for number in (1, 2)]
    [model] = import_checkpoints(paths)
    whole = from_published(berg, "whole")
    assert model.voxel_index["subj01"].tolist() == whole.voxel_index["subj01"].tolist() == [3, 11, 40]
    assert areas(model)["subj01"] == ["ventral"] * 3
    images = pictures(GUESSED)
    assert torch.equal(model.network(images, "subj01"), whole.network(images, "subj01"))


def test_split_files_whose_trunks_were_fitted_apart_stay_apart(tmp_path, berg):
    second = split(berg, 2)
    second["best_params"]["enc"] = OrderedDict(second["best_params"]["enc"])
    second["best_params"]["enc"]["enc.conv6b.conv1.bias"] = torch.ones(WIDTH)
    paths = [save(tmp_path / "1.pt", split(berg, 1)), save(tmp_path / "2.pt", second)]
    models = import_checkpoints(paths)
    assert [model.voxel_index["subj01"].tolist() for model in models] == [[3, 11], [40]]


def test_the_same_voxel_twice(tmp_path, berg):
    path = save(tmp_path / "V1.pt", berg)
    with pytest.raises(
        ModelFileError, match=r"other voxels than in the files before it, found 3 of the same, .* 3"
    ):
        import_checkpoints([path, path])


def test_the_same_voxel_in_another_network(tmp_path, berg):
    """Whichever of the earlier files has it: the third joins the first network and repeats the second's."""
    second, third = split(berg, 2), split(berg, 2)
    second["best_params"]["enc"] = OrderedDict(second["best_params"]["enc"])
    second["best_params"]["enc"]["enc.conv6b.conv1.bias"] = torch.ones(WIDTH)
    parts = (split(berg, 1), second, third)
    paths = [save(tmp_path / f"{number}.pt", part) for number, part in enumerate(parts)]
    with pytest.raises(ModelFileError, match=r"2\.pt: expected other voxels .*, found 1 of the same, .* 40"):
        import_checkpoints(paths)


def test_exports_without_areas_are_concatenated(tmp_path):
    paths = [tmp_path / "1.pt", tmp_path / "2.pt"]
    for shift, path in enumerate(paths):
        voxels = {subject: Voxels(index + shift, shape=SHAPE) for subject, index in INDEX.items()}
        export_checkpoint(replace(make_model(), voxels=voxels), path)
    [model] = import_checkpoints(paths)
    assert model.voxel_index["subj02"].tolist() == [5, 50, 6, 51]
    assert model.voxels["subj02"].area is None


# damage


def lose_tensor(c):
    del c["best_params"]["enc"]["enc.conv5a.bn1.running_mean"]


def lose_last_layer(c):
    del c["best_params"]["enc"]["enc.conv6b.conv1.weight"]


def lose_weights(c):
    del c["best_params"]["fwrfs"][2]["w"]


def lose_field(c):
    del c["best_params"]["fwrfs"][2]["rf1"]


def misshape_tensor(c):
    c["best_params"]["enc"]["enc.conv4b.conv1.weight"] = torch.zeros(8, 8, 5, 5)


def misshape_features(c):
    c["best_params"]["fwrfs"][1]["w"] = torch.zeros(3, 99)


def misshape_field(c):
    c["best_params"]["fwrfs"][2]["rf0"] = torch.zeros(2, 9, 9)


def misshape_bias(c):
    c["best_params"]["fwrfs"][1]["b"] = torch.zeros(7)


def scalar(c):
    c["best_params"]["enc"]["enc.conv6b.conv1.weight"] = torch.zeros(())


def text(c):
    c["best_params"]["enc"]["mu"] = "grey"


def invent_tensor(c):
    c["best_params"]["fwrfs"][1]["gain"] = torch.zeros(3)


def lose_fwrfs(c):
    c["best_params"]["fwrfs"] = {}


def lose_best(c):
    c["best_params"] = {}


def shorten_index(c):
    c["voxel_index"][1], c["voxel_roi"][1] = c["voxel_index"][1][:2], c["voxel_roi"][1][:2]


def shorten_labels(c):
    c["voxel_roi"][1] = c["voxel_roi"][1][:2]


def leave_volume(c):
    c["voxel_index"][2] = np.array([5, 60])


def negative_index(c):
    c["voxel_index"][2] = np.array([5, -1])


def repeat_voxel(c):
    c["voxel_index"][2] = np.array([5, 5])


def lose_index(c):
    del c["voxel_index"]


def lose_subject(c):
    del c["voxel_index"][2]


def lose_shape(c):
    del c["brain_nii_shape"]


def flatten_shape(c):
    c["brain_nii_shape"][2] = (5, 4, 0)


def fractional_index(c):
    c["voxel_index"][2] = np.array([5.5, 50.0])


def nested_index(c):
    c["voxel_index"][2], c["voxel_roi"][2] = np.array([[5], [50]]), np.array([[1], [1]])


def poison_weight(c):
    c["best_params"]["fwrfs"][2]["w"][0, 3] = float("nan")


def poison_statistics(c):
    c["best_params"]["enc"]["enc.conv5a.bn1.running_var"] = torch.full((8,), 1e300, dtype=torch.float64)


def complex_weight(c):
    c["best_params"]["fwrfs"][1]["b"] = torch.zeros(3, dtype=torch.complex64)


def boolean_weight(c):
    c["best_params"]["fwrfs"][1]["b"] = torch.zeros(3, dtype=torch.bool)


def sparse_weight(c):
    c["best_params"]["fwrfs"][1]["w"] = torch.zeros(3, 152).to_sparse()


def list_readout(c):
    c["best_params"]["fwrfs"][1] = [1, 2]


def name_a_subject_twice(c):
    c["best_params"]["fwrfs"]["subj01"] = c["best_params"]["fwrfs"][1]


def narrow_layer(c):
    c["best_params"]["enc"]["enc.conv4a.conv1.weight"] = torch.zeros(2, 128, 3, 3)


def write_losses(c):
    c["trn_loss_history"] = ["low", "lower"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_tensor, r"width 4, but enc\.conv5a\.bn1\.running_mean is missing\. Fetch"),
        (lose_last_layer, r"whole checkpoint, but enc\.conv6b\.conv1\.weight is missing"),
        (lose_weights, r"whole checkpoint, but fwrfs\[2\]\.w is missing"),
        (lose_field, r"fwrfs\[2\]\.rf1 is missing"),
        (misshape_tensor, r"enc\.conv4b\.conv1\.weight has shape \(8, 8, 5, 5\) instead of \(8, 8, 3, 3\)"),
        (misshape_features, r"expected fwrfs\[1\]\.w to have 152 .* width 4, or 408 with .*, got 99"),
        (misshape_field, r"fwrfs\[2\]\.rf0 has shape \(2, 9, 9\) instead of \(2, 3, 3\)"),
        (misshape_bias, r"fwrfs\[1\]\.w has shape \(3, 152\) instead of \(7, 152\)"),
        (scalar, r"expected enc\.conv6b\.conv1\.weight to have 4 dimensions, got shape \(\)"),
        (text, "expected mu to be a tensor, got 'grey'"),
        (invent_tensor, r"fwrfs\[1\]\.gain belongs to no such network"),
        (lose_fwrfs, "expected best_params to have enc and fwrfs, found no fwrfs"),
        (lose_best, "expected a checkpoint of a GNet with best_params, found num_epochs, "),
        (shorten_index, "subj01: expected as many voxels as its readout has rows, 3, found 2"),
        (
            shorten_labels,
            "subj01: expected voxel_index, voxel_roi and group_mask of one length, found 3, 2 and 3",
        ),
        (
            leave_volume,
            r"subj02: expected voxel indices below 60, the size of its volume \(5, 4, 3\), found 60",
        ),
        (negative_index, "subj02: expected voxel indices below 60, .* found -1"),
        (repeat_voxel, "subj02: expected every voxel once, found 5 again"),
        (lose_index, r"expected voxel_index and brain_nii_shape to say which voxels .*'voxel_index'"),
        (lose_subject, "to say which voxels subject 2 has"),
        (lose_shape, r"to say which voxels subject 1 has.*'brain_nii_shape'"),
        (flatten_shape, r"to say which voxels subject 2 has.*a volume of 5 x 4 x 0 voxels"),
        (fractional_index, r"subj02: expected a list of whole numbers as voxel indices, found float64"),
        (nested_index, r"subj02: expected a list of whole numbers .*, found int64 of shape \(2, 1\)"),
        (poison_weight, r"finite real numbers in every tensor, but fwrfs\[2\]\.w holds NaN or infinity"),
        (poison_statistics, r"enc\.conv5a\.bn1\.running_var holds NaN or infinity"),  # as float32
        (complex_weight, r"fwrfs\[1\]\.b holds numbers of type complex64\. Ask"),
        (boolean_weight, r"fwrfs\[1\]\.b holds numbers of type bool"),
        (sparse_weight, r"fwrfs\[1\]\.w holds sparse or quantised numbers"),
        (list_readout, "expected tensors by name in fwrfs, got list"),
        (name_a_subject_twice, "expected one readout for each subject, .* found 1, 2, 'subj01'"),
        (narrow_layer, r"expected fwrfs\[1\]\.w to have 152 features for a trunk of width 4"),
        (write_losses, "expected numbers in trn_loss_history and hold_loss_history"),
    ],
)
def test_damaged_checkpoints(tmp_path, checkpoint, damage, message):
    damage(checkpoint)
    path = save(tmp_path / "model_params", checkpoint)
    with pytest.raises(ModelFileError, match=f"model_params: .*{message}"):
        import_checkpoints([path])


def test_berg_masks_that_do_not_fit(berg):
    berg["betas_info"][1]["roi_mask_volume"] = np.ones(SHAPE, bool)
    with pytest.raises(ModelFileError, match=r"subj01: expected as many voxels as .* rows, 3, found 60"):
        from_published(berg, "V1.pt")
    berg["betas_info"][1]["volume_shape"] = (9, 9, 9)
    with pytest.raises(ModelFileError, match=r"roi_mask_volume of shape \(9, 9, 9\), got \(5, 4, 3\)"):
        from_published(berg, "V1.pt")


# pickles


class Malice:
    """What a pickle may contain: an instruction to call anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, checkpoint, legacy):
    trace = tmp_path / "trace"
    path = tmp_path / "gift.pt"
    malice = checkpoint | {"val_cc": Malice(os.mkdir, str(trace))}
    torch.save(malice, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ModelFileError, match=r"gift\.pt: refused, because it asks for posix\.mkdir, .*Nothing of"
    ):
        import_checkpoints([path])
    assert not trace.exists()
    torch.load(path, weights_only=False)  # it would have
    assert trace.exists()


def everything_shown(error):
    """Message and traceback, with all causes that are printed."""
    return "".join(traceback.format_exception(error))


def test_a_refusal_never_advises_to_run_the_file(tmp_path, checkpoint):
    malice = save(tmp_path / "gift.pt", checkpoint | {"val_cc": Malice(os.mkdir, "trace")})
    whole = save(tmp_path / "whole.pt", checkpoint)
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear all")
    script = tmp_path / "script.pt"
    with zipfile.ZipFile(script, "w") as archive:  # what torch takes for TorchScript
        for name in ("constants.pkl", "data.pkl", "version"):
            archive.writestr(f"script/{name}", "3\n")
    bare = tmp_path / "bare.pt"
    bare.write_bytes(b"\x80\x02\x95" + whole.read_bytes()[:20])
    for path in (malice, letter, script, bare):
        with pytest.raises(ModelFileError, match=r"refused|cannot be read") as caught:
            read_pickle(path)
        shown = everything_shown(caught.value)
        assert "weights_only" not in shown
        assert "add_safe_globals" not in shown


@pytest.mark.parametrize("hidden", [eval, exec, __import__])
def test_builtins_are_refused(tmp_path, hidden):
    path = save(tmp_path / "gift.pt", {"best_params": Malice(hidden, "1")})
    with pytest.raises(ModelFileError, match="refused, because it asks for"):
        read_pickle(path)


def test_plain_values_of_old_and_new_numpy_are_read(tmp_path):
    content = {
        "array": np.arange(3, dtype=np.int16),
        "text": np.array(["V1v"]),
        "number": np.float32(0.5),
        "arguments": argparse.Namespace(roi="V1", nested={"a": [1, 2.5, None]}),
        "order": OrderedDict(a=torch.ones(2)),
    }
    path = save(tmp_path / "a.pt", content)
    raw = path.read_bytes()
    found = read_pickle(path)
    assert found["array"].dtype == np.int16
    assert found["text"].tolist() == ["V1v"]
    assert found["number"] == 0.5
    assert found["arguments"] == content["arguments"]
    assert b"numpy._core" in raw  # of NumPy 2; the published files are of NumPy 1
    torch.save(content, path, _use_new_zipfile_serialization=False)
    older = path.read_bytes().replace(b"cnumpy._core.", b"cnumpy.core.")
    assert older != path.read_bytes()
    path.write_bytes(older)
    assert read_pickle(path)["array"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 cut"])
def test_no_checkpoint_at_all(tmp_path, content):
    path = tmp_path / "model_params"
    with pytest.raises(ModelFileError, match=r"model_params: expected a checkpoint .*, found no such file"):
        read_pickle(path)
    path.write_bytes(content)
    with pytest.raises(
        ModelFileError, match=r"expected a checkpoint written by torch\.save, but it cannot be read"
    ):
        read_pickle(path)


def test_a_flipped_bit_is_noticed(tmp_path, checkpoint):
    path = save(tmp_path / "model_params", checkpoint)
    content = path.read_bytes()
    weight = checkpoint["best_params"]["fwrfs"][2]["w"].numpy().tobytes()
    place = content.index(weight[:64])
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert torch.load(path, weights_only=False).keys() == checkpoint.keys()  # torch does not notice
    with pytest.raises(
        ModelFileError, match=r"model_params: .* cannot be read: .*data/\d+ in it does not hav"
    ):
        read_pickle(path)


def test_older_files_without_checksums_are_read(tmp_path, checkpoint):
    path = tmp_path / "model_params"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(path)
    [model] = import_checkpoints([path])
    assert model.voxel_index["subj02"].tolist() == [5, 50]


def test_a_folder_is_called_a_folder(tmp_path):
    with pytest.raises(ModelFileError, match=r"expected a checkpoint .*, found a folder\. Give the file"):
        import_checkpoints([tmp_path])


def test_exports_are_checked_as_well():
    exported = to_published(make_model())
    exported["best_params"]["fwrfs"][2]["b"][1] = float("inf")
    with pytest.raises(ModelFileError, match=r"fwrfs\[2\]\.b holds NaN or infinity"):
        from_published(exported, "x")
    for index, message in (
        ([5, 60], "subj02: volume_shape must be"),
        ([5, 5], "subj02: voxel_index holds a voxel twice"),
        ([5, 50, 51], "size mismatch for readouts.subj02"),
    ):
        exported = to_published(make_model())
        stored = {"voxel_index": np.array(index), "volume_shape": np.array(SHAPE)}
        exported[METADATA]["readouts"]["subj02"] = stored
        with pytest.raises(ModelFileError, match=f"(?s)x: its parts do not fit together: .*{message}"):
            from_published(exported, "x")
    with pytest.raises(ModelFileError, match="expected model version 1, got 99"):
        from_published(exported | {METADATA: exported[METADATA] | {"version": 99}}, "x")
    with pytest.raises(ModelFileError, match="expected a model's description under gnet"):
        from_published(exported | {METADATA: 1}, "x")


def test_cut_short(tmp_path, checkpoint):
    path = save(tmp_path / "model_params", checkpoint)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="cannot be read"):
        import_checkpoints([path])


@pytest.mark.parametrize(
    ("content", "found"), [([1], "list"), ({"state": torch.ones(1)}, "state"), ({}, "nothing")]
)
def test_another_file_of_torch(tmp_path, content, found):
    with pytest.raises(
        ModelFileError, match=f"expected a checkpoint of a GNet with best_params, found {found}"
    ):
        import_checkpoints([save(tmp_path / "a.pt", content)])


def test_areas_are_not_needed(checkpoint):
    del checkpoint["voxel_roi"]
    model = from_published(checkpoint, "x")
    assert model.areas == ()
    assert set(model.voxels["subj01"].area) == {""}
