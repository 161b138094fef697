"""VolumesDataset: volumes with their affine, all of them or none."""

import copy
import pickle

import numpy as np
import pytest
from kedro.io.core import DatasetError

from gnet.io.nifti import StoredVolumes, VolumesDataset
from gnet.recording.volumes import Volume

AFFINE = np.diag([1.75, 1.75, 1.75, 1.0])  # exact in the float32 of a NIfTI header


def volume(value, dtype="uint8"):
    return Volume(np.full((2, 3, 4), value, dtype), AFFINE)


def failing():
    raise RuntimeError("no such mask")


def interrupted():
    raise KeyboardInterrupt


@pytest.fixture
def masks(tmp_path):
    return VolumesDataset(filepath=tmp_path / "masks")


def test_named_volumes_come_back_lazily(masks, left_over):
    assert not masks.exists()
    calls = []
    masks.save(
        {
            "subj01/visual": lambda: calls.append("subj01") or volume(1),
            "subj02/visual": lambda: calls.append("subj02") or volume(2, "int16"),
            "brain": Volume(np.ones((2, 3, 4), bool), AFFINE),
        }
    )
    assert calls == ["subj01", "subj02"]
    assert masks.exists()
    loaded = masks.load()
    assert list(loaded) == ["brain", "subj01/visual", "subj02/visual"]
    assert loaded["subj02/visual"].data.dtype == np.int16
    assert loaded["brain"].data.sum() == 24
    with pytest.raises(KeyError, match="no 'subj03/visual', only brain, subj01/visual"):
        loaded["subj03/visual"]
    for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert isinstance(again, StoredVolumes)
        assert again["subj01/visual"].data.max() == 1
    assert masks.preview(nrows=2)["data"] == [
        ["brain", "(2, 3, 4)", "uint8"],
        ["subj01/visual", "(2, 3, 4)", "uint8"],
    ]
    assert left_over() == [
        "masks",
        "masks/brain.nii.gz",
        "masks/subj01",
        "masks/subj01/visual.nii.gz",
        "masks/subj02",
        "masks/subj02/visual.nii.gz",
    ]


def test_saving_again_replaces_the_whole_folder(masks):
    masks.save({"old": volume(1)})
    masks.save({"new": volume(2)})
    assert list(masks.load()) == ["new"]


@pytest.mark.parametrize(("last", "error"), [(failing, DatasetError), (interrupted, KeyboardInterrupt)])
def test_failure_half_way_leaves_the_former_folder(masks, left_over, last, error):
    with pytest.raises(error):
        masks.save({"subj01/a": volume(1), "subj01/b": last})
    assert left_over() == []
    masks.save({"old": volume(1)})
    with pytest.raises(error):
        masks.save({"new": volume(1), "b": last})
    assert left_over() == ["masks", "masks/old.nii.gz"]


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../b", "a//b", ".hidden", "a/", 3])
def test_names_that_are_no_names(masks, left_over, name):
    with pytest.raises(DatasetError, match="expected names such as 'subj01/V1'"):
        masks.save({name: volume(1)})
    assert left_over() == []


@pytest.mark.parametrize(("value", "text"), [({}, "found an empty one"), ([1], "found list")])
def test_only_mappings_are_saved(masks, value, text):
    with pytest.raises(DatasetError, match=f"expected a mapping of names to volumes, {text}"):
        masks.save(value)


def test_folders_of_other_files_are_never_replaced(masks, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "thesis.tex").touch()
    with pytest.raises(DatasetError, match=r"as it is replaced as a whole, found thesis.tex; move it away"):
        masks.save({"a": volume(1)})
    assert (tmp_path / "masks" / "thesis.tex").exists()
    with pytest.raises(DatasetError, match=r"masks: expected .nii.gz files, found none"):
        masks.load()
