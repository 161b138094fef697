"""The readers, masks and splits against numbers recorded from the published implementation."""

import h5py
import numpy as np
import pandas as pd
import pytest

from gnet.readers.nsd.betas import percent, read_session
from gnet.readers.nsd.rois import early_visual, inflate, joined_visual, tight_whole_brain, visual
from gnet.recording.responses import zscore_session
from gnet.recording.split import image_average, split_trials
from gnet.recording.volumes import flat_index, write_volume

PUBLISHED_SHARED_IMAGES = 1000  # the recording's convention, see reference/README.md


@pytest.fixture
def session(reference):
    return np.load(reference / "betas_session.npz")


def test_betas_session(session):
    masked = session["betas_int16"][session["mask"]].T
    in_percent = percent(masked)
    np.testing.assert_allclose(in_percent, session["percent"], rtol=1e-6)
    np.testing.assert_allclose(zscore_session(in_percent), session["zscored"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_betas_session_from_a_file(session, tmp_path, file_format):
    betas = session["betas_int16"]
    *shape, trials = betas.shape
    if file_format == "hdf5":
        path = tmp_path / "betas_session01.hdf5"
        with h5py.File(path, "w") as file:
            file.create_dataset("betas", data=betas.T, chunks=(trials, 1, 1, 1))
    else:
        path = tmp_path / "betas_session01.nii.gz"
        write_volume(path, betas, np.eye(4))
    read = read_session(path, flat_index(session["mask"]), tuple(shape), trials)
    np.testing.assert_allclose(zscore_session(percent(read)), session["zscored"], rtol=1e-5, atol=1e-6)


def test_masks(reference):
    recorded = np.load(reference / "masks.npz")
    prf, kastner = recorded["prf_visualrois"], recorded["kastner2015"]
    np.testing.assert_array_equal(joined_visual(kastner, prf), recorded["joined_roi"])
    np.testing.assert_array_equal(early_visual(prf), recorded["early_mask"])
    np.testing.assert_array_equal(visual(kastner, prf), recorded["visual_mask"])
    tight = tight_whole_brain(recorded["aseg"], recorded["nsdgeneral"], recorded["kastner_signed"])
    np.testing.assert_array_equal(tight, recorded["tight"])
    np.testing.assert_array_equal(inflate(tight), recorded["inflated"])


@pytest.fixture
def recorded_trials(reference):
    recorded = np.load(reference / "ordering_split.npz")
    responses = recorded["responses"]
    position = recorded["masterordering0"][: len(responses)]
    trials = pd.DataFrame(
        {"subject": "subj01", "position": position, "shared": position < PUBLISHED_SHARED_IMAGES}
    )
    return recorded, responses, trials


def test_ordering_split(recorded_trials):
    recorded, responses, trials = recorded_trials
    parts = split_trials(trials, "shared", 0.0, seed=0)["part_last_trials"].to_numpy()
    position = trials["position"].to_numpy()
    for part in ("train", "test"):
        chosen = parts == part
        np.testing.assert_array_equal(position[chosen], recorded[f"trials/{part}_image"])
        np.testing.assert_array_equal(responses[chosen], recorded[f"trials/{part}_response"])
        images, mean, _ = image_average(responses[chosen], position[chosen])
        np.testing.assert_array_equal(images, recorded[f"averaged/{part}_image"])
        np.testing.assert_allclose(mean, recorded[f"averaged/{part}_response"], rtol=1e-5, atol=1e-6)


def test_holdout_split(recorded_trials, reference):
    _, responses, trials = recorded_trials
    recorded = np.load(reference / "holdout_split.npz")
    parts = split_trials(trials, "shared", 0.1, seed=0)["part_last_trials"].to_numpy()
    for part in ("train", "holdout"):
        chosen = parts == part
        np.testing.assert_array_equal(trials["position"].to_numpy()[chosen], recorded[f"{part}_image"])
        np.testing.assert_array_equal(responses[chosen], recorded[f"{part}_response"])
