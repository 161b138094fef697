import numpy as np
import pandas as pd
import pytest

from gnet.analysis.tuning import (
    SIGNIFICANT,
    Scores,
    TuningScores,
    average_table,
    specific_share,
    spread,
    tuning_scores,
    tuning_table,
    unique_share,
    voxel_average,
)
from gnet.evaluation.resampling import draw_images, draw_trials, resampled_correlation

PARTS, IMAGES, VOXELS, TRIALS = 3, 30, 5, 80


@pytest.fixture
def experiment():
    random = np.random.default_rng(0)
    contributions = random.standard_normal((PARTS, IMAGES, VOXELS)).astype(np.float32)
    bias = random.standard_normal(VOXELS).astype(np.float32)
    trial_image = random.integers(IMAGES, size=TRIALS)
    measured = contributions.sum(0)[trial_image] + random.standard_normal((TRIALS, VOXELS))
    return contributions, bias, measured, trial_image, draw_trials(trial_image, 16, seed=1)


def test_all_parts_together_are_the_model_and_none_is_the_rest(experiment):
    contributions, bias, *rest = experiment
    scores = tuning_scores(contributions, bias, *rest)
    whole = tuning_scores(contributions.sum(0, keepdims=True), bias, *rest)
    np.testing.assert_allclose(whole.inclusive.mean[0], scores.total.mean, rtol=1e-6)
    np.testing.assert_allclose(specific_share(whole)[0], 100, rtol=1e-5)
    assert np.isnan(whole.exclusive.mean).all()  # nothing is left that could vary


def test_of_two_parts_each_is_the_rest_of_the_other(experiment):
    contributions, *rest = experiment
    scores = tuning_scores(np.stack([contributions[0], contributions[1:].sum(0)]), *rest)
    np.testing.assert_allclose(scores.inclusive.mean, scores.exclusive.mean[::-1], rtol=1e-5)
    np.testing.assert_allclose(scores.inclusive.sd, scores.exclusive.sd[::-1], rtol=1e-4)


def test_scores_are_those_of_the_predictions(experiment):
    contributions, bias, measured, trial_image, counts = experiment
    scores = tuning_scores(*experiment)
    without = contributions[[0, 2]].sum(0) + bias
    expected = resampled_correlation(measured, without[trial_image], counts)
    np.testing.assert_allclose(scores.exclusive.mean[1], expected.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scores.exclusive.sd[1], expected.std(0), rtol=1e-4)


def test_share_errors_are_those_of_independent_scores():
    """Against the spread of the share over many draws of both accuracies."""
    random = np.random.default_rng(0)
    inclusive, total = (
        Scores(np.array([[0.3]]), np.array([[0.01]])),
        Scores(np.array([0.5]), np.array([0.02])),
    )
    _, error = specific_share(TuningScores(total, inclusive, inclusive))
    drawn = 100 * random.normal(0.3, 0.01, 200_000) ** 2 / random.normal(0.5, 0.02, 200_000) ** 2
    np.testing.assert_allclose(error[0, 0], drawn.std(), rtol=0.02)


def test_unique_share_of_a_useless_part_is_zero():
    total = Scores(np.array([0.4]), np.array([0.01]))
    same = Scores(np.array([[0.4]]), np.array([[0.01]]))
    assert unique_share(TuningScores(total, same, same))[0][0, 0] == 0


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ([0.0, 1.0], 0.5),
        ([0.0, 0.0, 0.0, 1.0], 1 / 6),
        ([0.0, 1.0, 1.0, 1.0], 5 / 6),
        ([0.0, 1.0, 2.0, 3.0], 0.5),
        ([1.0, 1.0], np.nan),
        ([np.nan, 1.0], np.nan),
    ],
)
def test_spread(share, expected):
    found = spread(np.array(share)[:, None])[0]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(spread(np.array(share)[::-1, None])[0], expected)  # order does not matter


def test_voxel_average_excludes_voxels_that_are_not_predicted():
    share = np.array([[10.0, 20.0, 1e6, np.nan], [90.0, 80.0, 0.0, 0.0]])
    average, voxels = voxel_average(share, np.array([0.1, 0.2, SIGNIFICANT, 0.5]))
    np.testing.assert_allclose(average, [(10 + 4 * 20) / 5, (90 + 4 * 80) / 5])
    assert voxels == 2
    average, voxels = voxel_average(share, np.full(4, np.nan))
    assert np.isnan(average).all()
    assert voxels == 0


def test_tables_keep_parts_and_voxels_together(experiment):
    scores = tuning_scores(*experiment)
    table = tuning_table(scores, ["a", "b", "c"])
    shares, _ = unique_share(scores)
    for position, name in enumerate("abc"):
        of_part = table[table["part"] == name].sort_values("voxel")
        np.testing.assert_array_equal(of_part["unique"], shares[position])
    subjects = [
        table.assign(subject=subject, voxel_index=table["voxel"], area="V1", partition="p")
        for subject in ("subj01", "subj02")
    ]
    average = average_table(pd.concat(subjects, ignore_index=True)).set_index(["subject", "part"])
    expected, _ = voxel_average(shares, scores.total.mean)
    for subject in ("subj01", "subj02", "group"):
        np.testing.assert_allclose(average.loc[subject].loc[["a", "b", "c"], "unique"], expected)
    assert average.loc[("group", "a"), "voxels"] == 2 * VOXELS


def test_drawn_images_bring_all_their_trials():
    trial_image = np.array([0, 1, 0, 2, 2, 2])
    counts = draw_images(trial_image, 50, seed=0)
    for image in range(3):
        of_image = counts[:, trial_image == image]
        assert (of_image == of_image[:, :1]).all()
    images = counts[:, [0, 1, 3]].sum(1)
    assert (images == 3).all()
