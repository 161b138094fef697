import logging

import numpy as np
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd import rois
from gnet.readers.nsd.rois import (
    LABELS,
    area_mask,
    inflate,
    read_atlas,
    read_ctab,
    read_ncsnr,
    read_segmentation,
)
from gnet.recording.volumes import read_volume

SUBJECT = "subj01"


def test_documented_labels_are_numbered_from_one():
    assert LABELS["prf-visualrois"][7] == "hV4"
    assert LABELS["Kastner2015"][25] == "FEF"
    assert LABELS["Kastner2015"][18] == "IPS0"
    assert len(LABELS["Kastner2015"]) == 25
    assert LABELS["streams"][5] == "ventral"
    assert LABELS["floc-faces"][2] == "FFA-1"


def test_ctab_lines_are_value_and_name(tmp_path):
    path = tmp_path / "regions.mgz.ctab"
    path.write_text("  0 Unknown\n\n# a comment\n1 V1v 255 0 0 0\n12 mTL-faces\n-1 outside\n")
    assert read_ctab(path) == {0: "Unknown", 1: "V1v", 12: "mTL-faces", -1: "outside"}
    path.write_text("1 V1v\nV1d\n")
    with pytest.raises(ReleaseError, match=r"ctab: expected 'value name' in line 2, found 'V1d'"):
        read_ctab(path)


def test_atlas_has_labels_and_names(release):
    atlas = read_atlas(release.layout, SUBJECT, "prf-visualrois", release.shapes[SUBJECT])
    stored = read_volume(release.layout.roi(SUBJECT, "prf-visualrois")).data
    np.testing.assert_array_equal(atlas.labels, stored)
    assert atlas.names == LABELS["prf-visualrois"]
    assert (atlas.family, atlas.subject) == ("prf-visualrois", SUBJECT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_labels_are_integers_whatever_the_file_stores(release, dtype):
    volume = np.arange(120).reshape(release.shapes[SUBJECT]) % 8
    release.write_nifti(release.layout.roi(SUBJECT, "drawn"), volume.astype(dtype))
    release.layout.ctab(SUBJECT, "drawn").write_text("".join(f"{value} r{value}\n" for value in range(8)))
    labels = read_atlas(release.layout, SUBJECT, "drawn").labels
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(labels, volume)


def test_ctab_wins_over_the_documentation_and_says_so(release, caplog):
    release.layout.ctab(SUBJECT, "floc-faces").write_text("1 OFA\n2 pFus\n3 mFus\n4 mTL-faces\n5 aTL-faces\n")
    with caplog.at_level(logging.WARNING):
        atlas = read_atlas(release.layout, SUBJECT, "floc-faces")
    assert atlas.names[2] == "pFus"
    assert "ctab file of floc-faces differs" in caplog.text
    assert "2 (pFus, not FFA-1), 3 (mFus, not FFA-2); the file is followed" in caplog.text


def test_agreeing_ctab_says_nothing(release, caplog):
    read_atlas(release.layout, SUBJECT, "prf-visualrois")
    assert caplog.text == ""


def test_documentation_stands_in_for_an_absent_ctab(release, caplog):
    assert read_atlas(release.layout, SUBJECT, "Kastner2015").names == LABELS["Kastner2015"]
    assert "no ctab file for Kastner2015, its documented labels are taken instead" in caplog.text


def test_unknown_family_lists_those_there(release):
    with pytest.raises(
        ReleaseError,
        match=r"regions 'floc-cats', .* Families there: Kastner2015, floc-faces, nsdgeneral, prf",
    ):
        read_atlas(release.layout, SUBJECT, "floc-cats")


def test_undocumented_family_needs_its_ctab(release):
    release.write_nifti(release.layout.roi(SUBJECT, "HCP_MMP1"), np.ones((5, 6, 4), dtype=np.int16))
    with pytest.raises(
        ReleaseError, match=r"names of the labels of 'HCP_MMP1', found no such file. Fetch it: aws"
    ):
        read_atlas(release.layout, SUBJECT, "HCP_MMP1")
    release.layout.ctab(SUBJECT, "HCP_MMP1").write_text("1 V1\n2 MST\n")
    assert read_atlas(release.layout, SUBJECT, "HCP_MMP1").names == {1: "V1", 2: "MST"}


def test_atlas_of_another_shape(release):
    with pytest.raises(ReleaseError, match=r"nsdgeneral.nii.gz: expected a volume of 5 x 6 x 5 voxels"):
        read_atlas(release.layout, SUBJECT, "nsdgeneral", (5, 6, 5))


def test_labels_without_a_name_and_of_fractions(release):
    path = release.layout.roi(SUBJECT, "prf-visualrois")
    release.write_nifti(path, np.full((5, 6, 4), 9, dtype=np.int16))
    with pytest.raises(
        ReleaseError, match=r"expected labels that prf-visualrois.mgz.ctab names, found \[9\] without"
    ):
        read_atlas(release.layout, SUBJECT, "prf-visualrois")
    for value in (1.5, np.nan):
        release.write_nifti(path, np.full((5, 6, 4), value, dtype=np.float32))
        with pytest.raises(ReleaseError, match="expected whole numbers as labels, found others"):
            read_atlas(release.layout, SUBJECT, "prf-visualrois")


@pytest.mark.parametrize(("value", "found"), [(0, "0"), (1, "1"), (-1, "-1")])
def test_documented_families_have_labels_and_surroundings(release, value, found):
    path = release.layout.roi(SUBJECT, "nsdgeneral")
    release.write_nifti(path, np.full((5, 6, 4), value, dtype=np.int16))
    with pytest.raises(
        ReleaseError, match=rf"nsdgeneral.nii.gz: expected -1 outside the cortex .* values {found}\."
    ):
        read_atlas(release.layout, SUBJECT, "nsdgeneral")


def test_labels_below_minus_one(release):
    release.write_nifti(
        release.layout.roi(SUBJECT, "nsdgeneral"), np.arange(-2, 118).reshape(5, 6, 4).astype(np.int16)
    )
    with pytest.raises(ReleaseError, match=r"nsdgeneral.nii.gz: expected labels from -1, found -2\."):
        read_atlas(release.layout, SUBJECT, "nsdgeneral")


@pytest.mark.parametrize(
    ("segments", "problem"),
    [
        (np.zeros(120), "expected a brain and 0 around it, found nothing but 0"),
        (np.ones(120), "expected a brain and 0 around it, found no 0"),
        (np.arange(120) - 3, "expected labels from 0, found -3"),
        (np.where(np.arange(120) == 7, np.nan, 0), "expected whole numbers as labels, found others"),
    ],
)
def test_segmentations_that_cannot_be(release, segments, problem):
    path = release.layout.aseg(SUBJECT)
    release.write_nifti(path, segments.reshape(5, 6, 4).astype(np.float32))
    with pytest.raises(ReleaseError, match=rf"aseg.nii.gz: {problem}"):
        read_segmentation(release.layout, SUBJECT, (5, 6, 4))


def test_ncsnr_of_whole_numbers_is_another_volume(release):
    stored = read_volume(release.layout.ncsnr(SUBJECT)).data
    np.testing.assert_array_equal(read_ncsnr(release.layout, SUBJECT, (5, 6, 4)), stored)
    release.write_nifti(release.layout.ncsnr(SUBJECT), np.ones((5, 6, 4), np.int16))
    with pytest.raises(
        ReleaseError, match=r"ncsnr.nii.gz: expected real numbers, found int16: this is another"
    ):
        read_ncsnr(release.layout, SUBJECT, (5, 6, 4))


def test_ctab_with_two_names_for_a_value(tmp_path):
    path = tmp_path / "regions.mgz.ctab"
    path.write_text("1 V1v\n2 V1d\n2 V1d\n1 V2v\n")
    with pytest.raises(
        ReleaseError, match=r"one name for each value, found 'V1v' and, in line 4, 'V2v' for 1"
    ):
        read_ctab(path)


def test_documented_label_that_the_ctab_lacks(release):
    release.layout.ctab(SUBJECT, "floc-faces").write_text("1 ofa\n2 FFA-1\n")
    atlas = read_atlas(release.layout, SUBJECT, "floc-faces")
    with pytest.raises(
        ReleaseError,
        match=r"subj01: expected OFA in floc-faces.mgz.ctab, as NSD documents, found only ofa, FFA-1",
    ):
        area_mask(atlas, ["OFA", "FFA-1"])


def signed(rng, count, shape=(6, 7, 5)):
    return rng.integers(-1, count + 1, shape)


def test_masks_leave_out_what_is_merely_cortex():
    rng = np.random.default_rng(0)
    prf, kastner, general, aseg = (
        signed(rng, 7),
        signed(rng, 25),
        signed(rng, 1),
        rng.integers(0, 3, (6, 7, 5)),
    )
    np.testing.assert_array_equal(rois.early_visual(prf), prf >= 1)
    np.testing.assert_array_equal(rois.nsdgeneral(general), general == 1)
    np.testing.assert_array_equal(rois.visual(kastner, prf), (prf >= 1) | (kastner >= 1))
    tight = rois.tight_whole_brain(aseg, general, kastner)
    np.testing.assert_array_equal(~tight, (aseg == 0) & (general < 1) & (kastner == -1))


def test_inflation_needs_two_neighbours_and_wraps():
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[0, 2, 2] = True
    np.testing.assert_array_equal(inflate(mask), mask)  # one voxel alone does not grow
    mask[4, 2, 2] = True
    grown = inflate(mask)
    assert grown[5, 2, 2]  # between the two, around the edge
    assert grown.sum() == 3


def test_inflation_is_the_separable_sum():
    mask = np.random.default_rng(1).random((7, 8, 6)) < 0.08
    weight = {-1: 0.5, 0: 1.0, 1: 0.5}
    expected = sum(
        weight[i] * weight[j] * weight[k] * np.roll(mask, (i, j, k), (0, 1, 2))
        for i in weight
        for j in weight
        for k in weight
    )
    np.testing.assert_array_equal(inflate(mask), expected >= 1)
    assert mask.sum() < inflate(mask).sum() < mask.size


def test_area_is_any_of_its_labels(release):
    atlas = read_atlas(release.layout, SUBJECT, "prf-visualrois")
    np.testing.assert_array_equal(area_mask(atlas, ["V1v", "V1d"]), np.isin(atlas.labels, [1, 2]))


def test_unknown_label_lists_the_known(release):
    atlas = read_atlas(release.layout, SUBJECT, "floc-faces")
    with pytest.raises(
        ParameterError,
        match=r"unknown label FFA in the family 'floc-faces': expected one of OFA, FFA-1, FFA-2",
    ):
        area_mask(atlas, ["OFA", "FFA"])


def test_area_without_voxels(release):
    atlas = read_atlas(release.layout, SUBJECT, "floc-faces")
    with pytest.raises(
        ReleaseError, match=r"subj01: expected voxels labelled aTL-faces in floc-faces.nii.gz, found none"
    ):
        area_mask(atlas, ["aTL-faces"])
