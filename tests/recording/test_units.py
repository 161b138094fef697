import numpy as np
import pandas as pd
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.recording.units import Atlas, unit_table


def table(**changes):
    shape = (3, 4, 2)
    prf = np.zeros(shape, dtype=int)
    prf[0, 0, 1], prf[2, 3, 0], prf[1, 1, 1] = 1, 2, 7
    faces = np.zeros(shape, dtype=int)
    faces[1, 1, 1] = faces[0, 2, 0] = 2
    general = np.zeros(shape, dtype=bool)
    general[1, 1, 1] = general[2, 2, 2 - 1] = True
    snr = np.arange(24, dtype=np.float32).reshape(shape)
    snr[2, 2, 1] = np.nan
    early = Atlas("prf-visualrois", prf, {1: "V1v", 2: "V1d", 7: "hV4"}, "subj01")
    patches = Atlas("floc-faces", faces, {1: "OFA", 2: "FFA-1"}, "subj01")
    atlases = {"V1": early, "hV4": early, "FFA": patches}
    arguments = {
        "ncsnr_name": "ncsnr.nii.gz",
        "masks": {"nsdgeneral": general},
        "areas": {"V1": (prf == 1) | (prf == 2), "hV4": prf == 7, "FFA": faces == 2},
        "atlases": atlases,
        "ncsnr": snr,
    }
    return unit_table("subj01", **(arguments | changes))


def test_unit_table_has_each_voxel_once():
    voxels = table()
    assert voxels["voxel_index"].tolist() == [1, 4, 11, 21, 22]
    np.testing.assert_array_equal((voxels["x"] * 4 + voxels["y"]) * 2 + voxels["z"], voxels["voxel_index"])
    assert voxels["area"].tolist() == ["V1", "FFA", "hV4", "", "V1"]
    assert voxels["label"].tolist() == ["V1v", "FFA-1", "hV4", "", "V1d"]
    assert voxels["in_FFA"].tolist() == [False, True, True, False, False]  # hV4 came first, FFA keeps it too
    assert voxels["in_nsdgeneral"].tolist() == [False, False, True, True, False]
    np.testing.assert_array_equal(voxels["ncsnr"], [1, 4, 11, np.nan, 22])
    assert (voxels["subject"] == "subj01").all()
    assert voxels["in_V1"].dtype == bool


def test_unit_table_of_masks_alone():
    voxels = table(areas={}, atlases={})
    assert voxels["area"].tolist() == ["", ""]
    assert isinstance(voxels, pd.DataFrame)


def test_all_nan_ncsnr_is_refused():
    with pytest.raises(
        ReleaseError,
        match=r"subj01: expected an ncsnr for the voxels of nsdgeneral, V1, .* found NaN in all 5\. It",
    ):
        table(ncsnr=np.full((3, 4, 2), np.nan))


@pytest.mark.parametrize(("value", "found"), [(-0.5, "-0.5 to 22"), (np.inf, "1 to inf")])
def test_ncsnr_that_is_none(value, found):
    snr = np.arange(24.0).reshape(3, 4, 2)
    snr[0, 2, 0] = value  # voxel 4
    with pytest.raises(
        ReleaseError, match=rf"that differs between voxels, found {found}\. .* fetch ncsnr.nii.gz again"
    ):
        table(ncsnr=snr)


def test_ncsnr_of_one_number():
    with pytest.raises(
        ReleaseError, match=r"an ncsnr of at least 0 that differs between voxels, found 2 to 2\."
    ):
        table(ncsnr=np.full((3, 4, 2), 2.0))


def test_mask_and_area_of_one_name():
    with pytest.raises(ParameterError, match=r"V1: expected different names for masks and areas"):
        table(masks={"V1": np.ones((3, 4, 2), dtype=bool)})


def test_masks_without_voxels():
    with pytest.raises(ReleaseError, match="subj01: expected voxels in nothing_here, found none"):
        table(masks={"nothing_here": np.zeros((3, 4, 2), dtype=bool)}, areas={}, atlases={})
