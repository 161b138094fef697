"""Synthetic responses have the form of measured ones, and the noise that they say they have."""

import numpy as np
import pandas as pd
import pytest

from arrays import arrays
from gnet.analysis.noise_model import NoiseModel
from gnet.evaluation.prediction import SubjectPredictions
from gnet.io.subjects import SubjectsDataset
from gnet.pipelines.parameters import Split, Synthetic
from gnet.pipelines.synthetic import make_responses
from gnet.recording.noise_ceiling import ncsnr
from gnet.recording.responses import Responses

IMAGES, SHARED = 400, 100
INDEX = np.array([11, 12, 15])
SPLIT = Split(test="shared", holdout_fraction=0.1, seed=1)


def stored(path, content):
    """Of one subject, as it comes back from disk."""
    kind = SubjectPredictions if isinstance(content, SubjectPredictions) else NoiseModel
    kind = Responses if callable(content) else kind
    dataset = SubjectsDataset(filepath=path, load_args={"content": f"{kind.__module__}.{kind.__name__}"})
    dataset.save({"subj01": content})
    return dataset.load()


@pytest.fixture
def make(tmp_path):
    """Responses of a model of three voxels; `columns`: which of them it predicts, some perhaps twice."""

    def responses(columns=(0, 1, 2), **choices):
        random = np.random.default_rng(0)
        predicted = random.normal(2, 3, (IMAGES, 3)).astype(np.float32)
        loadings = np.array([[0.6, 0.1], [0.5, -0.4], [0.2, 0.7]])
        covariance = loadings @ loadings.T + 0.2 * np.eye(3)
        columns = list(columns)
        value, vector = np.linalg.eigh(covariance[np.ix_(columns, columns)])
        factor = (vector * np.sqrt(value.clip(0))) @ vector.T
        index = INDEX[columns]
        predictions = SubjectPredictions(
            predicted[:, columns], index, np.array(["V1"] * len(index)), np.arange(IMAGES)
        )
        noise = NoiseModel(np.array([0.5, 0.6, 0.4])[columns], factor @ factor.T, factor, index)
        sides = [
            stored(tmp_path / "predictions.h5", predictions),
            stored(tmp_path / "noise.h5", noise),
        ]
        voxels = pd.DataFrame({"subject": "subj01", "voxel_index": INDEX, "area": "V1", "ncsnr": 9.0})
        images = pd.DataFrame({"subject": "subj01", "image_row": np.arange(IMAGES)})
        images = images.assign(image_id=images["image_row"] + 1, position=images["image_row"])
        images = images.assign(shared=images["image_row"] < SHARED)
        choices = {"source": "gnet8j", "noise": "none", "repetitions": 3, "seed": 1} | choices
        betas, table, trials = make_responses(voxels, images, Synthetic(**choices), SPLIT, *sides)
        made = arrays(stored(tmp_path / "betas.h5", betas["subj01"])["subj01"])
        return made, table, trials, predicted, covariance

    return responses


def test_without_noise_every_image_is_there_once(make):
    betas, voxels, trials, predicted, _ = make()
    assert sorted(trials["image_row"]) == list(range(IMAGES))
    assert (trials["repetition"] == 1).all()
    z = (predicted - predicted.mean(0)) / predicted.std(0)
    np.testing.assert_allclose(betas["betas"], z[trials["image_row"]], atol=1e-5)
    assert voxels["ncsnr"].isna().all()  # the measured one means nothing here


@pytest.mark.parametrize("repetitions", [2, 3])
def test_with_noise_images_repeat(make, repetitions):
    betas, _, trials, _, _ = make(noise="measured", repetitions=repetitions)
    assert betas["betas"].shape == (repetitions * IMAGES, 3)
    assert (trials.groupby("image_row").size() == repetitions).all()
    for _, table in trials.groupby("image_row"):
        assert table.sort_values("trial")["repetition"].tolist() == list(range(1, repetitions + 1))
        assert len(set(table["part_images"])) == 1
    assert ((trials["part_images"] == "test") == trials["shared"]).all()


@pytest.mark.parametrize("columns", [(0, 1, 2), (2, 0, 1), (0, 1, 2, 0)], ids=["", "unordered", "one twice"])
def test_the_noise_is_the_measured_one_and_known(make, columns):
    """Also of a voxel that two areas' models predict, which the noise model holds twice."""
    betas, voxels, trials, predicted, covariance = make(columns, noise="measured")
    np.testing.assert_array_equal(betas["voxel_index"], INDEX)
    z = (predicted - predicted.mean(0)) / predicted.std(0)
    left = betas["betas"] - np.array([0.5, 0.6, 0.4]) * z[trials["image_row"]]
    np.testing.assert_allclose(left.T @ left / len(left), covariance, atol=0.05)
    expected = np.array([0.5, 0.6, 0.4]) / np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(voxels["ncsnr"], expected, rtol=1e-6)
    zscored = (betas["betas"] - betas["betas"].mean(0)) / betas["betas"].std(0)
    found = ncsnr(zscored, trials["image_id"].to_numpy())
    np.testing.assert_allclose(found, expected, rtol=0.15)
