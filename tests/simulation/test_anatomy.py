import numpy as np
import pytest

from gnet.errors import ParameterError
from gnet.readers.nsd.rois import LABELS
from gnet.simulation.anatomy import AREA_OF_LABEL, FAMILIES, GREY, VOXEL_SIZE, label_number, shape_head

VOXELS = {label: count for count, label in enumerate(AREA_OF_LABEL, start=9)}


@pytest.fixture(scope="module")
def anatomy():
    return shape_head((16, 18, 14), VOXELS, np.random.default_rng(0))


def test_each_label_has_its_voxels_half_of_them_on_either_side(anatomy):
    labels = anatomy.regions["prf-visualrois"]
    for label, count in VOXELS.items():
        of_label = labels == label_number("prf-visualrois", label)
        assert of_label.sum() == count
        assert (of_label & anatomy.left).sum() == count // 2


def test_areas_lie_at_the_back_ventral_ones_below_and_further_out_the_higher(anatomy):
    labels = anatomy.regions["prf-visualrois"]
    y, z = np.indices(labels.shape)[1:]
    middle = (labels.shape[2] - 1) / 2
    assert y[labels > 0].max() < labels.shape[1] / 2 + 1
    for label in VOXELS:
        of_label = labels == label_number("prf-visualrois", label)
        assert ((z[of_label] < middle) == (label.endswith("v") or label == "hV4")).all()
    depth = [
        y[labels == label_number("prf-visualrois", label)].mean() for label in ("V1v", "V2v", "V3v", "hV4")
    ]
    assert depth == sorted(depth)


@pytest.mark.parametrize("family", FAMILIES)
def test_regions_are_minus_one_outside_cortex_and_numbered_inside(anatomy, family):
    volume = anatomy.regions[family]
    cortex = np.isin(anatomy.aseg, list(GREY.values()))
    assert volume.dtype == np.int16
    np.testing.assert_array_equal(volume == -1, ~cortex)
    assert set(np.unique(volume).tolist()) == {-1, 0, *LABELS[family]}


def test_hemispheres_add_up(anatomy):
    left, right = (anatomy.hemisphere("Kastner2015", side) for side in ("lh", "rh"))
    np.testing.assert_array_equal(np.maximum(left, right), anatomy.regions["Kastner2015"])
    assert (left[~anatomy.left] == -1).all()
    assert left[0].max() <= 0
    assert (
        np.flatnonzero((left > -1).any((1, 2))) < left.shape[0] / 2
    ).all()  # the first voxel is the left one


def test_the_families_overlap_as_in_nsd(anatomy):
    prf, kastner, general = (
        anatomy.regions[name] for name in ("prf-visualrois", "Kastner2015", "nsdgeneral")
    )
    assert (general[prf > 0] == 1).all()
    assert (general == 1).sum() > (prf > 0).sum()
    both = (prf > 0) & (kastner > 0)
    np.testing.assert_array_equal(prf[both], kastner[both])
    assert 0 < ((prf > 0) & (kastner == 0)).sum() < 0.3 * (prf > 0).sum()
    assert (kastner > 7).any()


def test_the_affine_is_diagonal_and_centred(anatomy):
    corners = np.array([[0, 0, 0, 1], [15, 17, 13, 1]])
    first, last = corners @ anatomy.affine[:3].T
    np.testing.assert_allclose(first, -last)
    np.testing.assert_allclose(np.diag(anatomy.affine)[:3], VOXEL_SIZE)


def test_a_volume_without_room_for_the_areas_is_refused():
    with pytest.raises(
        ParameterError, match=r"6 x 6 x 6 voxels: expected 15 voxels of V1d, V2d, V3d .* Ask for a"
    ):
        shape_head((6, 6, 6), dict.fromkeys(AREA_OF_LABEL, 10), np.random.default_rng(0))
