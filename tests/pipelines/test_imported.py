"""A model from elsewhere, in the place of those that were fitted here."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

from arrays import arrays
from gnet.models.checkpoints import read_models, save_models


@pytest.fixture
def imported(encoded):
    """The project with its own area-wise models, as if they came from elsewhere."""
    models = [
        model
        for area in ("V1", "V2", "V3", "hV4")
        for model in read_models(encoded.data / "06_models" / f"{area}.gnet8r.h5")
    ]
    save_models(models, encoded.data / "06_models" / "imported.h5")
    return encoded


def test_an_imported_model_is_predicted_and_scored_like_one_fitted_here(imported):
    imported.run("prediction", only=["gnet8r_predictions", "gnet8r_noise_model"])
    run = imported.run("imported")
    assert "subj01: the imported model of V2 has 10 of the 11 voxels here; others are not" in run.log
    own, again = (arrays(imported.load(f"{model}_predictions")["subj02"]) for model in ("gnet8r", "imported"))
    for name, values in own.items():
        np.testing.assert_array_equal(again[name], values)
    keys = ["subject", "area", "voxel_index"]
    fitted = imported.load("gnet8r_accuracy").query("excluded == ''").sort_values(keys, ignore_index=True)
    scored = imported.load("imported_accuracy").sort_values(keys, ignore_index=True)
    fitted = fitted.astype(scored.dtypes)  # counts are floats beside voxels that have none
    pd.testing.assert_frame_equal(scored, fitted, rtol=1e-5)


def test_a_voxel_without_data_here_has_no_accuracy(imported):
    with_data = imported.load("betas")["subj01"]
    lost = int(np.flatnonzero(imported.load("voxels").query("subject == 'subj01'")["area"] == "V1")[0])
    with h5py.File(imported.data / "03_primary" / "betas.h5", "a") as file:
        valid = file["subj01/valid"][()]
        valid[0, lost] = False
        file["subj01/valid"][...] = valid
    imported.run("imported", only=["imported_accuracy"])
    row = imported.load("imported_accuracy").query(
        f"subject == 'subj01' and voxel_index == {with_data.voxel_index[lost]}"
    )
    assert row["excluded"].item() == "no data in 1 of 3 sessions"
    assert row["r"].isna().all()


def test_its_predictions_can_be_the_responses_of_the_synthetic_experiment(imported):
    run = imported.run("synthetic_imported", only=["synthetic_imported.betas"])
    assert run.nodes == ["predict_imported", "fit_noise_of_imported", "make_synthetic_imported_responses"]
    predicted = arrays(imported.load("imported_predictions")["subj01"])
    responses = arrays(imported.load("synthetic_imported.betas")["subj01"])
    trials = imported.load("synthetic_imported.trials").query("subject == 'subj01'")
    index, column = np.unique(predicted["voxel_index"], return_index=True)
    row = pd.Index(predicted["image_row"]).get_indexer(trials["image_row"])
    z = (predicted["predictions"] - predicted["predictions"].mean(0)) / predicted["predictions"].std(0)
    kept = np.isin(index, responses["voxel_index"])
    np.testing.assert_allclose(responses["betas"], z[row][:, column[kept]], atol=1e-5)


@pytest.mark.parametrize("pipeline", ["imported", "synthetic_imported"])
def test_no_model_was_imported(encoded, pipeline):
    message, _ = encoded.refused(pipeline)
    path = encoded.data / "06_models" / "imported.h5"
    assert message == (
        f"\nModelFileError: imported: expected a model at {path}, found none. Import one: "
        f"gnet import-checkpoint FILE... --to {path}"
    )


def test_a_model_of_nobody_who_is_in_use(imported):
    path = imported.data / "06_models" / "imported.h5"
    strangers = []
    for model in read_models(path):
        network = model.network
        state = {
            name.replace("readouts.subj01", "readouts.subj07"): value
            for name, value in network.state_dict().items()
            if "readouts.subj02" not in name
        }
        other = type(network)(network.architecture, {"subj07": network.voxels["subj01"]})
        other.load_state_dict(state)
        strangers.append(replace(model, source=other, voxels={"subj07": model.voxels["subj01"]}))
    save_models(strangers, path)
    message, _ = imported.refused("imported")
    assert message == (
        "\nModelFileError: models: expected voxels of subj01, subj02, found those of subj07. Set "
        "release.subjects to subjects that both have, or take another model."
    )
