"""What parameters and configuration change in a run of the tiny release."""

import hashlib

import numpy as np
import pytest
import torch

from arrays import weights
from gnet.fitting import models
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.rois import read_atlas

QUICK = {"epochs": 1}
WHOLE_SESSIONS = {"subj01": 3, "subj02": 2}


def configuration(project, model="gnet8j"):
    return project.load(model).configuration


def test_revised_protocol_is_recorded(prepared):
    prepared.run("encoding_joint", fitting={**QUICK, "protocol": "revised"})
    expected = {
        "protocol": "revised", "update": "simultaneous", "batches": "reshuffled", "holdout": "images",
        "responses": "image_means", "input_mean_joint": "training_images", "frozen_trunk": "frozen",
    }  # fmt: skip
    found = configuration(prepared)
    assert {name: found[name] for name in expected} == expected


def test_means_are_fitted_once_an_image(prepared, monkeypatch):
    """As many samples as a subject has training images, each with the number of its trials."""
    fitted = {}
    fit_network = models.fit_network

    def watched(network, training, *arguments, **options):
        fitted.update(training)
        return fit_network(network, training, *arguments, **options)

    monkeypatch.setattr(models, "fit_network", watched)
    prepared.run("encoding_joint", fitting={**QUICK, "protocol": "revised"})
    trials = prepared.load("trials")
    for subject, means in fitted.items():
        train = trials[(trials["subject"] == subject) & (trials["part_images"] == "train")]
        expected = train["image_row"].value_counts(sort=False)
        assert dict(zip(means.image_row, means.count, strict=True)) == expected.to_dict()
    assert set(fitted) == set(WHOLE_SESSIONS)


def test_protocol_of_the_command_line(prepared):
    prepared.run("encoding_joint", protocol="revised", seed=5, device="cpu", fitting=QUICK)
    found = configuration(prepared)
    assert (found["protocol"], found["seed"], found["update"]) == ("revised", 5, "simultaneous")


def test_a_single_choice_is_recorded_and_changes_the_model(prepared):
    prepared.run("encoding_joint", fitting=QUICK)
    published = weights(prepared.load("gnet8j"))["trunk.conv3.conv.weight"]
    prepared.run("encoding_joint", fitting={**QUICK, "update": "simultaneous"})
    found = configuration(prepared)
    expected = {"protocol": "published", "update": "simultaneous", "batches": "fixed_slices"}
    assert {name: found[name] for name in expected} == expected
    assert not np.array_equal(weights(prepared.load("gnet8j"))["trunk.conv3.conv.weight"], published)


def test_no_seed_means_the_clock_and_is_recorded(prepared):
    seeds = set()
    for _ in range(2):
        prepared.run("encoding_joint", fitting={**QUICK, "seed": None}, scoring={"resamples": 2})
        seeds.add(configuration(prepared)["seed"])
    assert len(seeds) == 2
    assert all(isinstance(seed, int) for seed in seeds)


def test_special_test_images_are_those_that_all_saw_three_times(raw):
    run = raw.run("data_engineering", "masks", only=["trials"], split={"test": "special"})
    assert "tabulate_trials" in run.nodes
    trials = raw.load("trials")
    seen = trials[trials["shared"]].groupby(["image_id", "subject"]).size().unstack(fill_value=0)
    special = set(seen.index[(seen == 3).all(axis=1)])
    assert 0 < len(special) < len(seen)
    assert set(trials.loc[trials["part_images"] == "test", "image_id"]) == special
    assert set(trials.loc[trials["part_last_trials"] == "test", "image_id"]) == special


def test_one_subject(raw, tmp_path):
    project = raw.with_parameters(
        tmp_path / "conf", release={"subjects": ["subj01"]}, fitting=QUICK, scoring={"resamples": 2}
    )
    project.run("encoding_joint")
    assert set(project.load("trials")["subject"]) == {"subj01"}
    assert set(project.load("voxels")["subject"]) == {"subj01"}
    assert project.load("images").shape[0] == 40
    assert list(project.load("gnet8j").voxels) == ["subj01"]
    assert set(project.load("gnet8j_summary")["subject"]) == {"subj01"}
    assert set(project.load("inventory")["subject"]) <= {"", "subj01"}


def test_an_area_is_configuration(raw, tmp_path):
    layout = Layout(raw.data / "01_raw" / "nsd")
    labels = ["FFA-1", "FFA-2"]
    project = raw.with_parameters(
        tmp_path / "conf",
        areas={"FFA": {"family": "floc-faces", "labels": labels}},
        fitting=QUICK,
        scoring={"resamples": 2},
    )
    run = project.run("encoding_roi")
    assert run.nodes.count("fit_gnet8r") == 5
    voxels = project.load("voxels")
    accuracy = project.load("FFA_gnet8r_accuracy")
    assert set(accuracy["area"]) == {"FFA"}
    for subject in WHOLE_SESSIONS:
        atlas = read_atlas(layout, subject, "floc-faces")
        expected = np.flatnonzero(np.isin(atlas.labels, [2, 3]))
        assert expected.size
        of_subject = accuracy["subject"] == subject
        np.testing.assert_array_equal(accuracy.loc[of_subject, "voxel_index"], expected)
        table = voxels[(voxels["subject"] == subject) & voxels["in_FFA"]]
        np.testing.assert_array_equal(table["voxel_index"], expected)
        assert set(table.loc[table["area"] == "FFA", "label"]) <= set(labels)
    assert f"{next(iter(WHOLE_SESSIONS))}/FFA" in project.load("masks")
    summary = project.load("gnet8r_summary")
    assert set(summary["area"]) == {"V1", "V2", "V3", "hV4", "FFA"}


def test_masks_of_more_voxels(raw, tmp_path):
    project = raw.with_parameters(tmp_path / "conf", masks={"tabulated": ["early_visual", "nsdgeneral"]})
    project.run("masks")
    voxels = project.load("voxels")
    assert (voxels["area"] == "").any()
    assert voxels["in_nsdgeneral"].sum() > voxels["in_early_visual"].sum()
    assert ((voxels["area"] == "") == (voxels["label"] == "")).all()


def test_random_prefilter(prepared):
    gabor = prepared.load("prefilter")
    prefilter = {"source": "random"}
    prepared.run("data_engineering", only=["prefilter"], prefilter=prefilter)
    random = prepared.load("prefilter")
    assert {name: array.shape for name, array in random.items()} == {
        name: array.shape for name, array in gabor.items()
    }
    assert not np.array_equal(random["conv1.weight"], gabor["conv1.weight"])
    prepared.run("encoding_joint", prefilter=prefilter, fitting=QUICK, scoring={"resamples": 2})
    model = prepared.load("gnet8j")
    assert model.configuration["prefilter"] == "random"
    fitted = weights(model)["prefilter.conv1.weight"]
    np.testing.assert_array_equal(fitted, random["conv1.weight"])


@pytest.fixture
def alexnet(tmp_path):
    """A file with the names and shapes of torchvision's, and its checksum."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "features.0.weight": (64, 3, 11, 11), "features.0.bias": (64,),
        "features.3.weight": (192, 64, 5, 5), "features.3.bias": (192,),
        "classifier.6.bias": (1000,),
    }  # fmt: skip
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    path = tmp_path / "alexnet.pth"
    torch.save(state, path)
    return path, state


def test_alexnet_from_a_file(prepared, alexnet):
    path, state = alexnet
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    prefilter = {"source": "alexnet", "path": str(path), "sha256": checksum}
    prepared.run("data_engineering", only=["prefilter"], prefilter=prefilter)
    stored = prepared.load("prefilter")
    for ours, theirs in {"conv1": "features.0", "conv2": "features.3"}.items():
        for kind in ("weight", "bias"):
            np.testing.assert_array_equal(stored[f"{ours}.{kind}"], state[f"{theirs}.{kind}"])


def test_alexnet_with_another_checksum(prepared, alexnet):
    path, _ = alexnet
    (prepared.data / "05_model_input" / "prefilter.h5").unlink()
    message, run = prepared.refused("encoding_roi", prefilter={"source": "alexnet", "path": str(path)})
    assert message.startswith(f"\nModelFileError: {path}: expected a SHA-256 that begins with 4df8aa71, got ")
    assert "delete it and run again to download it again" in message
    assert run.nodes == ["make_prefilter"]


def test_single_field_readout(prepared):
    prepared.run("encoding_joint", model={"readout": "single_field"}, fitting=QUICK, scoring={"resamples": 2})
    model = prepared.load("gnet8j")
    assert model.architecture.readout == "single_field"
    fields = [name for name in weights(model) if name.startswith("readouts.subj01.field")]
    assert len(fields) == 1
    assert prepared.load("gnet8j_accuracy")["r"].notna().any()
