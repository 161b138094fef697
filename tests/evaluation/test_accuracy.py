"""Accuracies against other implementations and by hand; what cannot be computed is NaN and counted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from gnet.evaluation.accuracy import accuracy_table, explained_fraction, summary_table, voxel_correlation


def test_voxel_correlation_is_pearsons():
    random = np.random.default_rng(0)
    measured = random.normal(size=(50, 6)).astype(np.float32)
    predicted = (measured + random.normal(size=(50, 6)) * np.arange(6) + 1000).astype(np.float32)
    expected = [pearsonr(*pair).statistic for pair in zip(measured.T, predicted.T.astype(float), strict=True)]
    np.testing.assert_allclose(voxel_correlation(measured, predicted), expected, rtol=1e-12)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    "column",
    [np.zeros(3), np.full(3, 0.1, np.float32), np.array([0.1, np.nan, 0.2]), np.full(3, np.nan)],
    ids=["zeros", "constant whose mean is rounded", "one NaN", "all NaN"],
)
def test_correlation_that_does_not_exist_is_nan(side, column):
    good = np.array([0.0, 1.0, 5.0])
    pair = [np.stack([good, good, good], axis=1) for _ in range(2)]
    pair[side][:, 1] = column
    assert np.isnan(voxel_correlation(*pair)).tolist() == [False, True, False]


def test_fraction_of_explainable_variance_by_its_rule():
    explained = np.array([2.0, 2.0, 2.0, np.nan])
    ceiling = np.array([5.0, 4.999, np.nan, 20.0])
    np.testing.assert_array_equal(explained_fraction(explained, ceiling), [40, np.nan, np.nan, np.nan])


# Three images, shown three times, twice and once. Voxels: 0 as measured on average; 1 a little off;
# 2 predicted constant; 3 without ncsnr; 4 with a ceiling below 5 %.
TRIAL_IMAGE = np.array([0, 2, 0, 1, 0, 1])
MEASURED = np.array([1.0, 9, 2, 5, 3, 7], np.float32)[:, None].repeat(5, axis=1)
PREDICTED = np.array([[2.0, 4, 0, 2, 2], [6, 9, 0, 6, 6], [9, 6, 0, 9, 9]], np.float32)
NCSNR = np.array([1.0, 0.5, 1.0, np.nan, 0.2], np.float32)


@pytest.fixture
def table():
    return accuracy_table(PREDICTED, MEASURED, TRIAL_IMAGE, NCSNR, resamples=200, seed=0)


def test_accuracy_on_single_trials(table):
    expected = np.corrcoef(MEASURED[:, 1], PREDICTED[TRIAL_IMAGE, 1])[0, 1]
    assert table["r"][1] == pytest.approx(expected)
    assert table["variance_explained"][1] == pytest.approx(100 * expected**2)
    assert table["ceiling"][1] == pytest.approx(100 * 0.25 / (0.25 + 1))
    assert table["fev"][1] == pytest.approx(100 * 100 * expected**2 / 20)


def test_accuracy_on_image_averages(table):
    expected = np.corrcoef([2, 6, 9], [4, 9, 6])[0, 1]
    assert table["r_images"][0] == pytest.approx(1)
    assert table["r_images"][1] == pytest.approx(expected)
    assert table["variance_explained_images"][1] == pytest.approx(100 * expected**2)
    # one image of three repetitions, one of two, one of one: NSD's formula for the noise left in the mean
    noise = (1 / 3 + 1 / 2 + 1) / 3
    ceiling = 100 * 0.25 / (0.25 + noise)
    assert table["ceiling_images"][1] == pytest.approx(ceiling)
    assert table["fev_images"][1] == pytest.approx(100 * 100 * expected**2 / ceiling)


def test_what_does_not_exist_stays_nan(table):
    accuracies = [
        "r",
        "r_sd",
        "variance_explained",
        "fev",
        "r_images",
        "variance_explained_images",
        "fev_images",
    ]
    assert table.loc[2, accuracies].isna().all()
    assert table.loc[2, ["ceiling", "ceiling_images"]].notna().all()
    ceilings = ["ceiling", "ceiling_images", "fev", "fev_images"]
    assert table.loc[3, ceilings].isna().all()
    assert table.loc[3, ["r", "variance_explained", "r_images"]].notna().all()


def test_low_ceilings_have_no_explained_fraction(table):
    assert table["ceiling"][4] == pytest.approx(100 * 0.04 / 1.04)
    assert np.isnan(table["fev"][4])
    # averaged, the same voxel's ceiling is above 5 %
    assert table["ceiling_images"][4] > 5
    assert np.isfinite(table["fev_images"][4])


def test_counts(table):
    assert (table["trials"] == 6).all()
    assert (table["images"] == 3).all()
    assert len(table) == 5


def test_spread_is_that_of_many_trials_and_follows_its_seed():
    """About (1 - r^2) / sqrt(n) for many trials."""
    random = np.random.default_rng(0)
    n = 900
    predicted = random.normal(size=(n, 2))
    measured = predicted + random.normal(size=(n, 2)) * [1, 3]

    def table(seed):
        return accuracy_table(predicted, measured, np.arange(n), np.ones(2), resamples=300, seed=seed)

    first, again, other = table(0), table(0), table(1)
    np.testing.assert_allclose(first["r_sd"], (1 - first["r"] ** 2) / np.sqrt(n), rtol=0.2)
    pd.testing.assert_frame_equal(again, first)
    assert (other["r_sd"] != first["r_sd"]).all()
    pd.testing.assert_frame_equal(other.drop(columns="r_sd"), first.drop(columns="r_sd"))


def test_spread_is_nan_if_a_resample_has_none(table):
    """Of six trials, three show one image: some of 200 resamples see nothing else."""
    assert table["r_sd"].isna().all()


def test_summary_counts_and_averages():
    rows = [
        # area, subject, excluded, r, variance explained, ceiling, fev
        ("V1", "subj01", "", 0.2, 4.0, 16.0, 25.0),
        ("V1", "subj01", "", 0.4, 16.0, 64.0, 25.0),
        ("V1", "subj01", "", 0.9, 81.0, 4.0, np.nan),
        ("V1", "subj01", "", np.nan, np.nan, 36.0, np.nan),
        ("V1", "subj01", "no data in 1 of 3 sessions", np.nan, np.nan, np.nan, np.nan),
        ("V1", "subj02", "", 0.5, 25.0, np.nan, np.nan),
        ("V2", "subj01", "", 0.1, 1.0, 0.0, np.nan),
    ]
    columns = ["area", "subject", "excluded", "r", "variance_explained", "ceiling", "fev"]
    accuracy = pd.DataFrame(rows, columns=columns)
    fitted = accuracy["excluded"] == ""
    accuracy["trials"] = np.where(fitted, 30.0, np.nan)  # as a join leaves them
    accuracy["images"] = np.where(fitted, 10.0, np.nan)
    table = summary_table(accuracy)
    assert list(zip(table["area"], table["subject"], strict=True)) == [
        ("V1", "subj01"),
        ("V1", "subj02"),
        ("V2", "subj01"),
    ]
    for counted, expected in {
        "voxels": [4, 1, 1],
        "excluded": [1, 0, 0],
        "without_r": [1, 0, 0],
        "without_fev": [2, 1, 1],
        "trials": [30, 30, 30],
        "images": [10, 10, 10],
    }.items():
        assert table[counted].tolist() == expected, counted
    first = table.iloc[0]
    assert first["median_r"] == pytest.approx(0.4)
    assert first["variance_explained"] == pytest.approx((4 + 16 + 81) / 3)
    assert first["ceiling"] == pytest.approx((16 + 64 + 4 + 36) / 4)
    assert first["fev"] == pytest.approx(25)
    assert first["r_over_ceiling"] == pytest.approx(0.5)  # of 0.5, 0.5, 4.5
    assert table["fev"].isna().tolist() == [False, True, True]
    assert table["r_over_ceiling"].isna().tolist() == [
        False,
        True,
        True,
    ]  # no division by a ceiling of nought


def test_fev_of_an_area_is_the_mean_of_fractions():
    """And neither the fraction of the means, which would be 27 % here, nor the median, 20 %."""
    accuracy = pd.DataFrame(
        {
            "area": "V1",
            "subject": "subj01",
            "excluded": "",
            "r": np.sqrt(0.1),
            "variance_explained": 10.0,
            "ceiling": [50.0, 50.0, 10.0],
            "fev": explained_fraction(np.full(3, 10.0), np.array([50.0, 50.0, 10.0])),
            "trials": 9,
            "images": 3,
        }
    )
    assert summary_table(accuracy)["fev"][0] == pytest.approx((20 + 20 + 100) / 3)
