import math

import numpy as np
import pandas as pd
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.recording.split import image_average, last_trials, split_trials, whole_images

SHARED = 10


@pytest.fixture
def trials() -> pd.DataFrame:
    position = np.random.default_rng(0).permutation(np.repeat(np.arange(60), 3))[:150]
    return pd.DataFrame({"subject": "subj01", "position": position, "shared": position < SHARED})


def test_shared_images_test(trials):
    parts = split_trials(trials, "shared", 0.1, seed=0)
    np.testing.assert_array_equal(parts["part_images"] == "test", trials["position"] < SHARED)


def test_special_images_test_and_the_other_shared_ones_train(trials):
    parts = split_trials(trials, "special", 0.1, seed=0, special=np.array([2, 5]))
    np.testing.assert_array_equal(parts["part_images"] == "test", trials["position"].isin([2, 5]))


@pytest.mark.parametrize("fraction", [0.0, 0.07, 0.1, 0.5])
def test_last_trials_are_held_out(trials, fraction):
    parts = split_trials(trials, "shared", fraction, seed=0)
    rest = parts.loc[~trials["shared"], "part_last_trials"]
    held = math.ceil(fraction * len(rest) - 1e-9)
    assert (rest.iloc[len(rest) - held :] == "holdout").all()
    assert (rest.iloc[: len(rest) - held] == "train").all()
    assert (parts.loc[trials["shared"], "part_last_trials"] == "test").all()


def test_a_tenth_of_thirty_is_three():
    for count in range(10, 3000, 10):
        assert last_trials(np.zeros(count, dtype=int), 0.1).sum() == count // 10
    assert last_trials(np.zeros(100, dtype=int), 0.07).sum() == 7  # though 0.07 * 100 > 7


def test_held_out_images_bring_all_their_trials(trials):
    parts = split_trials(trials, "shared", 0.1, seed=3)
    of_image = parts.groupby("position")["part_images"].nunique()
    assert (of_image == 1).all()
    images = trials.loc[~trials["shared"], "position"].nunique()
    held = parts.loc[parts["part_images"] == "holdout", "position"].nunique()
    assert held == math.ceil(0.1 * images)


def test_the_seed_draws_the_images(trials):
    first, again, other = (split_trials(trials, "shared", 0.2, seed)["part_images"] for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    position = np.arange(100)
    assert not np.array_equal(whole_images(position, 0.2, 1), last_trials(position, 0.2))


def test_the_table_is_returned_and_not_written_into(trials):
    before = trials.copy()
    parts = split_trials(trials, "shared", 0.1, seed=0)
    pd.testing.assert_frame_equal(trials, before)
    pd.testing.assert_frame_equal(parts[trials.columns], before)


def test_repeats_fall_on_both_sides_of_the_published_holdout(trials):
    parts = split_trials(trials, "shared", 0.3, seed=0)
    sides = parts[parts["part_last_trials"] != "test"].groupby("position")["part_last_trials"].nunique()
    assert (sides == 2).any()


def test_bad_rules(trials):
    with pytest.raises(ParameterError, match="unknown test split 'random': expected one of shared, special"):
        split_trials(trials, "random", 0.1, seed=0)
    with pytest.raises(ParameterError, match="expected the positions of the special images, got none"):
        split_trials(trials, "special", 0.1, seed=0)
    with pytest.raises(
        ParameterError, match=r"holdout fraction: expected at least 0 and less than 1, got 1.5"
    ):
        split_trials(trials, "shared", 1.5, seed=0)


def test_nothing_left_to_test_or_train(trials):
    with pytest.raises(
        ReleaseError, match=r"subj01: expected trials of special images to test with, found none among 150"
    ):
        split_trials(trials, "special", 0.1, seed=0, special=np.array([], dtype=int))
    with pytest.raises(
        ReleaseError, match="subj01: expected trials to train with, found 0 beside the test trials"
    ):
        split_trials(trials[trials["shared"]], "shared", 0.1, seed=0)
    one = pd.concat([trials[trials["shared"]], trials[~trials["shared"]].head(1)])
    with pytest.raises(ReleaseError, match="found 1 beside the test trials, of which 1 are held out"):
        split_trials(one, "shared", 0.1, seed=0)


def test_image_average_is_the_mean_over_each_images_trials():
    rng = np.random.default_rng(0)
    position = rng.integers(0, 20, 50)
    responses = rng.standard_normal((50, 4)).astype(np.float32)
    images, mean, count = image_average(responses, position)
    np.testing.assert_array_equal(images, np.unique(position))
    assert mean.dtype == np.float32
    for row, image in enumerate(images):
        np.testing.assert_allclose(mean[row], responses[position == image].mean(axis=0), rtol=1e-5, atol=1e-6)
        assert count[row] == (position == image).sum()


def test_image_average_keeps_nan():
    responses = np.array([[1.0, 1.0], [np.nan, 3.0], [5.0, 5.0]])
    _, mean, _ = image_average(responses, np.array([7, 7, 9]))
    np.testing.assert_array_equal(mean, [[np.nan, 2.0], [5.0, 5.0]])


def test_no_trials_no_images():
    images, mean, count = image_average(np.empty((0, 3)), np.empty(0, dtype=int))
    assert (len(images), mean.shape, len(count)) == (0, (0, 3), 0)
