"""Each pipeline on the tiny release: what it makes first, what it makes, what it leaves alone."""

import json
import re

import h5py
import numpy as np
import pandas as pd
import pytest

from arrays import arrays
from gnet.readers.nsd.layout import Layout
from gnet.recording.volumes import read_volume

SESSIONS = {"subj01": 3, "subj02": 2}
SHAPES = {"subj01": (10, 12, 9), "subj02": (11, 10, 9)}
TRIALS = 40  # of a session
AREAS = ("V1", "V2", "V3", "hV4")
PREPARED = {"inventory", "image_ids", "images", "betas", "voxels", "masks", "trials", "prefilter"}


def state(folder):
    """Bytes and time of every file."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def layers(folder, *names):
    return {
        path: content
        for layer in folder.iterdir()
        if layer.name.startswith(names)
        for path, content in state(layer).items()
    }


@pytest.fixture(scope="module")
def project(finished):
    return finished[0]


@pytest.fixture(scope="module")
def trials(project):
    return project.load("trials")


@pytest.fixture(scope="module")
def voxels(project):
    return project.load("voxels")


class TestPrerequisites:
    def test_masks_on_a_fresh_folder(self, fresh):
        run = fresh.run("masks")
        assert run.nodes == ["simulate_release", "take_inventory", "draw_masks"]
        assert "masks needs inventory, recording, not there yet: making it first." in run.log
        assert "No release of the Natural Scenes Dataset here: simulating a small one." in run.log
        assert "Made inventory, recording. Now masks." in run.log

    def test_data_engineering_on_a_fresh_folder(self, fresh):
        run = fresh.run("data_engineering")
        assert run.nodes[:3] == ["simulate_release", "take_inventory", "draw_masks"]
        assert run.nodes.count("simulate_release") == run.nodes.count("draw_masks") == 1
        assert set(run.nodes[3:]) == {
            "take_inventory", "list_images", "tabulate_trials", "make_prefilter", "prepare_images",
            "prepare_responses",
        }  # fmt: skip
        assert "data_engineering needs recording, voxels, not there yet: making it first." in run.log
        for name in PREPARED - {"masks"}:
            fresh.load(name)

    def test_simulation_alone_makes_only_the_release(self, fresh):
        run = fresh.run("simulation")
        assert run.nodes == ["simulate_release"]
        assert "not there yet" not in run.log
        assert {path.name for path in fresh.data.iterdir()} == {"01_raw", "runs"}

    def test_encoding_roi_on_a_fresh_folder(self, finished):
        run = finished[1]["encoding_roi"]
        assert run.nodes.count("simulate_release") == 1
        assert run.nodes.count("fit_gnet8r") == run.nodes.count("score_gnet8r") == len(AREAS)
        assert run.nodes[-3:] == ["gather_gnet8r_accuracy", "draw_gnet8r_accuracy", "summarise_gnet8r"]
        assert (
            "encoding_roi needs betas, images, prefilter, trials, voxels, not there yet: making it first."
            in run.log
        )
        assert "Made betas, images, prefilter, trials, voxels. Now encoding_roi." in run.log
        assert run.log.index("Running node: prepare_images") < run.log.index("Now encoding_roi.")

    def test_encoding_joint_makes_only_what_it_lacks(self, prepared):
        (prepared.data / "03_primary" / "trials.parquet").unlink()
        before = layers(prepared.data, "01", "02")
        run = prepared.run("encoding_joint", fitting={"epochs": 1})
        assert "encoding_joint needs trials, not there yet: making it first." in run.log
        assert run.nodes == [
            "tabulate_trials", "choose_voxels_gnet8j", "fit_gnet8j", "score_gnet8j",
            "draw_gnet8j_accuracy", "summarise_gnet8j",
        ]  # fmt: skip
        assert layers(prepared.data, "01", "02") == before

    def test_default_runs_everything(self, whole_run):
        printed = (whole_run.parent / "printed.txt").read_text()
        assert "the default pipeline needs recording, not there yet: making it first." in printed
        nodes = re.findall(r"Running node: (\w+):", printed)
        assert nodes[0] == "simulate_release"
        assert {"fit_gnet8j", "fit_gnet8r", "summarise_gnet8j", "summarise_gnet8r"} <= set(nodes)

    def test_second_run_makes_only_the_models(self, finished):
        first, second = finished[1]["encoding_roi"], finished[1]["encoding_joint"]
        assert PREPARED & set(first.nodes) == set()
        assert second.nodes == [
            "choose_voxels_gnet8j", "fit_gnet8j", "score_gnet8j", "draw_gnet8j_accuracy", "summarise_gnet8j"
        ]  # fmt: skip
        assert "not there yet" not in second.log

    def test_second_run_leaves_all_but_new_versions_as_it_was(self, prepared):
        prepared.run("encoding_joint", fitting={"epochs": 1})
        before = state(prepared.data)
        run = prepared.run("encoding_joint", fitting={"epochs": 1})
        after = state(prepared.data)
        assert "not there yet" not in run.log
        assert {path: after[path] for path in before} == before
        new = sorted(path.removeprefix(f"{prepared.data}/") for path in after.keys() - before.keys())
        names = {path.split("/")[1] for path in new}
        assert {"gnet8j.h5", "gnet8j_accuracy.parquet", "gnet8j_summary.csv"} <= names
        assert all(path[:2] in ("06", "07", "08", "ru") for path in new)
        [page] = [path for path in new if path.startswith("runs/")]
        versions = {path.split("/")[2] for path in new if path != page}
        assert {f"runs/{version}.json" for version in versions} == {page}  # one version for all
        weights = [
            h5py.File(path)["weights/trunk.conv3.conv.weight"][()]
            for path in sorted((prepared.data / "06_models" / "gnet8j.h5").rglob("gnet8j.h5"))
            if path.is_file()
        ]
        assert len(weights) == 2
        np.testing.assert_array_equal(*weights)  # the same seed, the same bits

    def test_nothing_half_written_is_left(self, project):
        assert list(project.data.rglob("*.part")) == []


class TestPrepared:
    def test_inventory(self, project):
        inventory = project.load("inventory")
        assert (inventory["problem"] == "").all()
        assert inventory["kind"].value_counts()["betas"] == sum(SESSIONS.values())

    def test_images_are_mapped_and_stored_once(self, project, trials):
        images, image_ids = project.load("images"), project.load("image_ids")
        assert isinstance(images, np.memmap)
        assert (images.dtype, images.shape) == (np.uint8, (10 + 2 * 30, 3, 51, 51))
        assert image_ids.shape == images.shape[:1]
        assert (np.diff(image_ids) > 0).all()
        assert image_ids[0] >= 1
        np.testing.assert_array_equal(image_ids[trials["image_row"]], trials["image_id"])

    def test_trials(self, trials):
        assert trials.columns.tolist() == [
            "subject", "trial", "session", "position", "image_row", "image_id", "repetition", "shared",
            "part_last_trials", "part_images",
        ]  # fmt: skip
        for subject, table in trials.groupby("subject"):
            assert len(table) == SESSIONS[subject] * TRIALS
            np.testing.assert_array_equal(table["trial"], np.arange(len(table)))
            np.testing.assert_array_equal(table["session"], table["trial"] // TRIALS + 1)

    def test_shared_images_test(self, trials):
        for rule in ("part_last_trials", "part_images"):
            np.testing.assert_array_equal(trials[rule] == "test", trials["shared"])
            assert set(trials[rule]) == {"train", "holdout", "test"}

    def test_holdout_by_images_splits_no_image(self, trials):
        parts = trials.drop_duplicates(["subject", "image_id", "part_images"])
        assert not parts.duplicated(["subject", "image_id"]).any()

    def test_holdout_of_the_last_trials_is_the_last(self, trials):
        for _, table in trials[~trials["shared"]].groupby("subject"):
            held = table["part_last_trials"] == "holdout"
            assert held.sum() == np.ceil(0.1 * len(table))
            assert table.loc[held, "trial"].min() > table.loc[~held, "trial"].max()

    def test_voxels(self, voxels, project):
        assert voxels.columns.tolist() == [
            "subject", "voxel_index", "x", "y", "z", "area", "label", "ncsnr",
            "in_early_visual", *(f"in_{area}" for area in AREAS),
        ]  # fmt: skip
        layout = Layout(project.data / "01_raw" / "nsd")
        for subject, table in voxels.groupby("subject"):
            shape = read_volume(layout.brainmask(subject)).data.shape
            for axis, values in zip("xyz", np.unravel_index(table["voxel_index"], shape), strict=True):
                np.testing.assert_array_equal(table[axis], values)
            labels = read_volume(layout.roi(subject, "prf-visualrois")).data
            assert len(table) == (labels > 0).sum()
            assert set(table["label"]) == {"V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"}
            assert (table["area"] == table["label"].str.removesuffix("v").str.removesuffix("d")).all()

    def test_masks_are_volumes_with_the_release_s_affine(self, project, voxels):
        masks = project.load("masks")
        names = ("early_visual", "visual", "nsdgeneral", "whole_brain", *AREAS)
        assert set(masks) == {f"{subject}/{name}" for subject in SESSIONS for name in names}
        layout = Layout(project.data / "01_raw" / "nsd")
        for subject in SESSIONS:
            brain = read_volume(layout.brainmask(subject))
            for name in names:
                mask = masks[f"{subject}/{name}"]
                assert (mask.data.dtype, mask.data.shape) == (np.uint8, brain.data.shape)
                np.testing.assert_array_equal(mask.affine, brain.affine)
            table = voxels[(voxels["subject"] == subject) & voxels["in_V2"]]
            np.testing.assert_array_equal(np.flatnonzero(masks[f"{subject}/V2"].data), table["voxel_index"])

    def test_betas(self, project, voxels):
        betas = project.load("betas")
        assert list(betas) == list(SESSIONS)
        for subject, sessions in SESSIONS.items():
            index = voxels.loc[voxels["subject"] == subject, "voxel_index"].to_numpy()
            group = arrays(betas[subject])
            np.testing.assert_array_equal(group["voxel_index"], index)
            assert group["betas"].dtype == np.float32
            assert group["betas"].shape == (sessions * TRIALS, len(index))
            assert group["valid"].shape == (sessions, len(index))
            assert (~group["valid"]).sum() == 1  # the voxel without data in one session
            by_session = group["betas"].reshape(sessions, TRIALS, -1)
            assert (np.isnan(by_session).all(1) == ~group["valid"]).all()
            assert (np.isnan(by_session).any(1) == ~group["valid"]).all()
            np.testing.assert_allclose(by_session.mean(1)[group["valid"]], 0, atol=1e-5)
            np.testing.assert_allclose(by_session.std(1)[group["valid"]], 1, rtol=1e-3)
            assert tuple(group["volume_shape"]) == SHAPES[subject]
            assert group["affine"].shape == (4, 4)

    def test_nifti_gives_identical_betas(self, prepared):
        hdf5 = {subject: arrays(stored) for subject, stored in prepared.load("betas").items()}
        prepared.run("data_engineering", "masks", only=["betas"], release={"betas_format": "nifti"})
        nifti = {subject: arrays(stored) for subject, stored in prepared.load("betas").items()}
        record = json.loads((prepared.data / "03_primary" / "betas.h5.record.json").read_text())
        assert record["parameters"]["release"]["betas_format"] == "nifti"
        for subject in SESSIONS:
            for name in ("betas", "valid"):
                np.testing.assert_array_equal(nifti[subject][name], hdf5[subject][name])


class TestModels:
    @pytest.mark.parametrize("name", ["gnet8j", *(f"{area}.gnet8r" for area in AREAS)])
    def test_model_file(self, project, voxels, name):
        model = project.load(name)
        area = name.split(".")[0]
        areas = AREAS if name == "gnet8j" else (area,)
        assert model.areas == areas
        expected = {
            "protocol": "published", "update": "alternating", "batches": "fixed_slices",
            "holdout": "last_trials", "frozen_trunk": "drifting", "seed": 1, "epochs": 2, "batch_size": 25,
        }  # fmt: skip
        assert {key: model.configuration[key] for key in expected} == expected
        np.testing.assert_array_equal(model.history["epoch"], [1, 2])
        assert model.history["best"].sum() == 1
        for subject in SESSIONS:
            fitted = model.voxels[subject]
            index = fitted.index
            of_areas = voxels[(voxels["subject"] == subject) & voxels["area"].isin(areas)]
            assert set(index) < set(of_areas["voxel_index"]) or area in ("V1", "V3", "hV4")
            assert set(index) <= set(of_areas["voxel_index"])
            assert len(index) == model.network.voxels[subject]
            assert fitted.shape == SHAPES[subject]
            assert fitted.affine.shape == (4, 4)
            table = of_areas.set_index("voxel_index").loc[index]
            assert fitted.area.tolist() == table["area"].tolist()

    def test_no_pickle_in_any_file(self, project):
        files = list((project.data / "06_models").rglob("*.h5"))
        files = [path for path in files if path.is_file()]
        assert len(files) == 1 + len(AREAS)

        def check(name, item):
            if isinstance(item, h5py.Dataset):
                assert item.dtype.kind in "fiub" or h5py.check_string_dtype(item.dtype), name

        for path in files:
            with h5py.File(path) as file:
                file.visititems(check)
                for value in file.attrs.values():
                    assert isinstance(value, (str, np.integer))


class TestAccuracy:
    COLUMNS = (
        "subject", "voxel_index", "area", "label", "excluded", "r", "r_sd", "variance_explained", "ceiling",
        "fev", "r_images", "variance_explained_images", "ceiling_images", "fev_images", "trials", "images",
    )  # fmt: skip

    @pytest.fixture(params=["gnet8j", "gnet8r"])
    def accuracy(self, request, project):
        return project.load(f"{request.param}_accuracy")

    def test_every_voxel_has_a_row(self, accuracy, voxels):
        assert tuple(accuracy.columns) == self.COLUMNS
        assert not accuracy.duplicated(["subject", "voxel_index"]).any()
        both = accuracy.merge(voxels, on=["subject", "voxel_index", "area", "label"])
        assert len(both) == len(voxels) == len(accuracy)

    def test_excluded_voxels_are_there_and_nan(self, accuracy):
        excluded = accuracy[accuracy["excluded"] != ""]
        assert excluded["subject"].tolist() == list(SESSIONS)
        assert set(excluded["excluded"]) == {
            f"no data in 1 of {count} sessions" for count in SESSIONS.values()
        }
        assert excluded[list(self.COLUMNS[5:])].isna().all(axis=None)
        fitted = accuracy[accuracy["excluded"] == ""]
        assert fitted["r"].between(-1, 1).all()
        np.testing.assert_allclose(fitted["variance_explained"], 100 * fitted["r"] ** 2)
        assert (fitted["ceiling_images"] >= fitted["ceiling"]).all()
        assert (fitted["fev"].isna() == (fitted["ceiling"] < 5)).all()

    def test_single_trials_and_images_are_counted(self, accuracy, trials):
        tests = trials[trials["shared"]].groupby("subject")["image_id"].agg(["size", "nunique"])
        for subject, table in accuracy[accuracy["excluded"] == ""].groupby("subject"):
            assert (table["trials"] == tests.loc[subject, "size"]).all()
            assert (table["images"] == tests.loc[subject, "nunique"]).all()

    @pytest.mark.parametrize("name", ["gnet8j", "gnet8r"])
    def test_summary(self, project, name):
        summary, accuracy = project.load(f"{name}_summary"), project.load(f"{name}_accuracy")
        assert list(zip(summary["area"], summary["subject"], strict=True)) == [
            (area, subject) for area in AREAS for subject in SESSIONS
        ]
        assert summary["voxels"].sum() == (accuracy["excluded"] == "").sum()
        assert summary["excluded"].sum() == 2
        first = accuracy[(accuracy["area"] == "V1") & (accuracy["subject"] == "subj01")]
        assert summary["median_r"][0] == pytest.approx(first["r"].median())

    def test_by_area_and_gathered_are_the_same(self, project):
        parts = [project.load(f"{area}_gnet8r_accuracy") for area in AREAS]
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), project.load("gnet8r_accuracy"))
