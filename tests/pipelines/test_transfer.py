"""Readouts on each area's trunk: the trunk stays what it was, and the index is known over seeds."""

import contextlib
import io
import shutil

import numpy as np
import pytest

import arrays

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def weights(project, model):
    return {
        name: array
        for name, array in arrays.weights(project.load(model)).items()
        if not name.startswith("readouts.")
    }


@pytest.mark.parametrize("protocol", ["published", "revised"])
def test_the_trunk_stays_what_it_was(encoded, protocol):
    """Bitwise; as published, its running statistics drift."""
    run = encoded.run("transfer", only=["V2.transfer"], protocol=protocol, fitting={"epochs": 1})
    assert "fit V1+V2+V3+hV4, trunk of V2: " in run.log
    before, after = weights(encoded, "V2.gnet8r"), weights(encoded, "V2.transfer")
    assert before.keys() == after.keys()
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    drifting = {name for name in before if name.endswith(STATISTICS)}
    assert moved == (drifting if protocol == "published" else set())
    model = encoded.load("V2.transfer")
    assert model.configuration["prefilter"] == "gabor"
    fitted = encoded.load("gnet8j")
    for subject, voxels in model.voxels.items():  # of all areas
        np.testing.assert_array_equal(voxels.index, fitted.voxels[subject].index)
        assert voxels.shape == fitted.voxels[subject].shape


def test_areas_that_are_not_fitted_yet_are_fitted_first(prepared):
    run = prepared.run("transfer", only=["V1.transfer"], fitting={"epochs": 1})
    assert "transfer needs V1.gnet8r, not there yet: making it first." in run.log
    assert run.nodes == [
        "choose_voxels_gnet8r", "fit_gnet8r", "choose_voxels_transfer", "fit_transfer",
    ]  # fmt: skip


def test_the_index_over_seeds(project_at, whole_run, tmp_path):
    shutil.copytree(whole_run, tmp_path / "data")  # all is there, of seed 1
    encoded, only = project_at(tmp_path / "data"), ["hierarchy_index_seeds"]
    table = encoded.load("hierarchy_index_seeds")
    assert table["which"].tolist() == [1, 1, 1]
    assert table["seed_sd"].isna().all()

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        encoded.run("encoding_roi", "transfer", only=only, seed=2)
    index, table = encoded.load("hierarchy_index"), encoded.load("hierarchy_index_seeds")
    assert set(index["seed"]) == {2}
    assert set(index["protocol"]) == {"published"}
    assert table["which"].tolist() == ["1, 2"] * 3
    versions = encoded.load("hierarchy_index_versions")
    pooled = versions[versions["subject"] == "pooled"]["index"]
    found = table.set_index("subject").loc["pooled"]
    assert found["index"] == pytest.approx(pooled.mean())
    assert found["seed_sd"] == pytest.approx(pooled.std())
    assert found["seed_sd"] > 0
    assert "hierarchy_index_seeds: mean index over the seeds" in printed.getvalue()


def test_fits_that_differ_are_named(encoded):
    """Transfer by another protocol and with another seed than the trunks were fitted."""
    encoded.run("transfer", only=["hierarchy_index"], protocol="revised", seed=2, fitting={"epochs": 1})
    index = encoded.load("hierarchy_index")
    assert set(index["protocol"]) == {"published+revised"}
    assert set(index["seed"]) == {"1+2"}
