"""The release behind the interface of all readers."""

import numpy as np
import pytest

from gnet.errors import ReleaseError
from gnet.readers.nsd.layout import MARKER
from gnet.readers.nsd.reader import NSDReader
from gnet.recording.reader import Reader
from gnet.storage.blocks import Blocks

AREAS = {"V1": ("prf-visualrois", ("V1v", "V1d")), "faces": ("floc-faces", ["OFA", "FFA-1"])}


@pytest.fixture
def reader(release):
    return NSDReader(release.layout, "nifti")


def test_it_has_what_the_pipelines_need(reader):
    assert isinstance(reader, Reader)
    assert not isinstance(reader.layout, Reader)


def test_a_release_is_simulated_if_it_says_so(reader):
    assert (reader.simulated, reader.name) == (False, "Natural Scenes Dataset")
    (reader.layout.root / MARKER).touch()
    assert (reader.simulated, reader.name) == (True, "a simulated release")


def test_the_inventory_asks_for_the_areas_families_and_is_checked(reader, release):
    table = reader.inventory(release.sessions, AREAS)
    reader.check_inventory(table)
    assert set(table.loc[table["kind"] == "roi", "path"].str.extract(r"roi/(.*)\.nii")[0]) == {
        "Kastner2015", "floc-faces", "nsdgeneral", "prf-visualrois"
    }  # fmt: skip
    assert table.loc[table["kind"] == "betas", "path"].str.endswith(".nii.gz").all()
    release.layout.aseg("subj01").unlink()
    with pytest.raises(ReleaseError, match=r"aseg\.nii\.gz: missing"):
        reader.check_inventory(reader.inventory(release.sessions, AREAS))


def test_images_and_trials_agree(reader, release):
    image_ids, of_subjects = reader.images(["subj01", "subj02"])
    trials = reader.trials({"subj02": 3}, release.sessions, test="shared", holdout_fraction=0.2, seed=0)
    assert (np.diff(image_ids) > 0).all()
    np.testing.assert_array_equal(image_ids[of_subjects["image_row"]], of_subjects["image_id"])
    of_one, _ = reader.images(["subj02"])
    np.testing.assert_array_equal(of_one[trials["image_row"]], trials["image_id"])
    assert len(trials) == 3 * release.trials
    assert set(trials["part_images"]) == {"train", "holdout", "test"}


def test_special_images_are_those_that_all_subjects_saw_three_times(reader, release):
    chosen = {"subj01": 4}
    settings = {"test": "special", "holdout_fraction": 0.2, "seed": 0}
    alone = reader.trials(chosen, chosen, **settings)
    together = reader.trials(chosen, release.sessions, **settings)
    assert (alone["part_images"] == "test").sum() > (together["part_images"] == "test").sum()


def test_pictures_are_prepared_as_they_are_asked_for(reader, release):
    pictures = reader.pictures(np.array([4, 1]), 6, "bilinear")
    assert isinstance(pictures, Blocks)
    assert pictures.shape == (2, 3, 6, 6)
    [block] = pictures
    assert block.dtype == np.uint8


def test_units_are_the_voxels_of_areas_and_chosen_masks(reader, release):
    volumes, table = reader.units("subj01", AREAS, ["nsdgeneral"])
    assert set(volumes) == {"early_visual", "visual", "nsdgeneral", "whole_brain", "V1", "faces"}
    anywhere = volumes["V1"].data | volumes["faces"].data | volumes["nsdgeneral"].data
    np.testing.assert_array_equal(table["voxel_index"], np.flatnonzero(anywhere))
    np.testing.assert_array_equal(table["in_V1"], volumes["V1"].data.flat[table["voxel_index"]])
    assert set(table["area"]) == {"V1", "faces", ""}


def test_responses_stand_in_the_order_of_the_units(reader, release):
    _, table = reader.units("subj01", AREAS, [])
    table = table[::-1]
    table["ncsnr"] = np.nan  # random numbers: nothing repeats
    responses = reader.responses("subj01", 2, table)
    np.testing.assert_array_equal(responses.voxel_index, table["voxel_index"])
    assert responses.betas.shape == (2 * release.trials, len(table))
    assert responses.valid.shape == (2, len(table))
    assert tuple(responses.volume_shape) == (5, 6, 4)
    np.testing.assert_array_equal(responses.affine, np.diag([1.8, 1.8, 1.8, 1]).astype(np.float32))


def test_the_anatomy_is_optional(reader, release):
    assert reader.anatomy("subj01") is None
    release.write_nifti(release.layout.anatomy("subj01"), np.ones((5, 6, 4), np.int16))
    assert reader.anatomy("subj01").data.shape == (5, 6, 4)
