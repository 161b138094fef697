import numpy as np
import pandas as pd
import pytest

from gnet.analysis.comparison import compare_accuracies
from gnet.analysis.transfer_matrix import (
    POOLED,
    hierarchy_index,
    hierarchy_index_over_voxels,
    index_table,
    shift_table,
    transfer_matrix,
)

AREAS = ("V1", "V2", "V3", "hV4")
MODEL, TESTED = np.indices((4, 4))


def planted(downward, upward):
    """A matrix whose shift is exactly proportional to the distance, with one slope in each direction."""
    return np.abs(MODEL - TESTED) * np.where(MODEL > TESTED, downward, upward)


@pytest.mark.parametrize(
    ("downward", "upward", "index"),
    [(0.0, -0.02, 1.0), (-0.02, 0.0, -1.0), (-0.02, -0.02, 0.0), (-0.01, -0.03, 0.5), (0.01, -0.01, 1.0)],
)
def test_index_of_a_planted_matrix(downward, upward, index):
    found = hierarchy_index(planted(downward, upward))
    np.testing.assert_allclose(
        [found.index, found.downward, found.upward], [index, downward, upward], atol=1e-12
    )
    np.testing.assert_allclose(found.error, 0, atol=1e-9)


def test_error_is_that_of_noisy_matrices():
    """It treats numerator and denominator as independent, as published; here they nearly are."""
    random = np.random.default_rng(0)
    found = [hierarchy_index(planted(-0.02, -0.02) + random.normal(0, 0.002, (4, 4))) for _ in range(2000)]
    spread = np.std([index.index for index in found])
    np.testing.assert_allclose(np.mean([index.error for index in found]), spread, rtol=0.15)


def test_diagonal_does_not_count():
    matrix = planted(-0.01, -0.03)
    np.fill_diagonal(matrix, 9.0)
    assert hierarchy_index(matrix).index == pytest.approx(0.5)


def test_too_few_areas_have_no_index():
    assert np.isnan(hierarchy_index(np.zeros((2, 2))).index)


@pytest.fixture
def accuracies():
    """Own accuracies and those on each trunk: 20 voxels an area and subject, one of them without a score."""
    random = np.random.default_rng(0)
    own = pd.DataFrame(
        [
            (subject, index, area, random.uniform(0.2, 0.6))
            for subject in ("subj01", "subj02")
            for index, area in enumerate(np.repeat(AREAS, 20))
        ],
        columns=["subject", "voxel_index", "area", "r"],
    )
    position = {area: number for number, area in enumerate(AREAS)}
    transferred = {}
    for trunk in AREAS:
        shift = [planted(-0.01, -0.03)[position[trunk], position[area]] for area in own["area"]]
        table = own.assign(r=own["r"] + shift)
        transferred[trunk] = table.sample(frac=1, random_state=1)  # the order of rows must not matter
    transferred["V2"].loc[0, "r"] = np.nan
    return own, transferred


def test_matrix_of_planted_shifts(accuracies):
    matrix = transfer_matrix(shift_table(*accuracies), AREAS)
    for subject in ("subj01", "subj02", POOLED):
        found = matrix[matrix["subject"] == subject]
        shift = found.pivot_table(index="trunk", columns="tested", values="shift").loc[
            list(AREAS), list(AREAS)
        ]
        np.testing.assert_allclose(shift, planted(-0.01, -0.03), atol=1e-9)
    counts = matrix.set_index(["subject", "trunk", "tested"])["voxels"]
    assert counts[POOLED, "V2", "V1"] == 39
    assert counts[POOLED, "V1", "V1"] == 40
    assert counts["subj01", "V2", "V1"] == 19


def test_index_per_subject_and_pooled(accuracies):
    table = index_table(shift_table(*accuracies), AREAS, resamples=10, seed=0).set_index("subject")
    np.testing.assert_allclose(table["index"], 0.5, atol=1e-6)
    np.testing.assert_allclose(table["voxel_sd"], 0, atol=1e-6)  # every voxel shifts alike
    np.testing.assert_allclose(table.loc[POOLED, "subject_sd"], 0, atol=1e-6)
    assert np.isnan(table.loc["subj01", "subject_sd"])


def test_spread_over_voxels_shrinks_with_their_number():
    random = np.random.default_rng(0)
    spreads = []
    for voxels in (50, 800):
        tested = np.repeat(np.arange(4), voxels)
        shifts = planted(-0.01, -0.03)[:, tested] + random.normal(0, 0.05, (4, len(tested)))
        spreads.append(hierarchy_index_over_voxels(shifts, tested, resamples=200, seed=1).std())
    assert 2.5 < spreads[0] / spreads[1] < 6.5  # about sqrt(16)


def test_comparison_counts_and_tests(accuracies):
    own, _ = accuracies
    better = own.assign(r=own["r"] + np.where(own["area"] == "V1", 0.01, 0.0))
    v2 = own["area"] == "V2"
    better.loc[v2, "r"] += np.random.default_rng(0).normal(0, 0.01, v2.sum())
    better.loc[3, "r"] = np.nan
    table = compare_accuracies(better, own).set_index(["area", "subject"])
    assert table.loc[("V1", "subj01"), "voxels"] == 19
    np.testing.assert_allclose(table.loc["V1", "shift"], 0.01)
    assert (table.loc["V1", "share_better"] == 100).all()
    assert (table.loc["V1", "q"] < 0.001).all()
    assert (table.loc["V3", "p"] == 1).all()
    assert (table["q"] >= table["p"]).all()
    assert (table.loc["V2", "q"] > 0.01).all()
