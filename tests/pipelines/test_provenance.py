"""Results of one model are not mixed with those of another that was fitted later."""

import json
import shlex
import shutil

import pytest

from gnet.errors import StorageError
from gnet.io.hdf5 import HDF5Dataset
from gnet.io.tables import TableDataset

LATER = "2031-01-01T00.00.00.000Z"


def made_from(project, layer, name):
    [path] = (project.data / layer / name).glob("*/record.json")
    return json.loads(path.read_text())["sources"]


def version(project, layer, name):
    return max(path.name for path in (project.data / layer / name).iterdir())


def test_a_result_says_what_it_was_made_from(either):
    joint = version(either, "06_models", "gnet8j.h5")
    chosen = {"gnet8j_voxels": version(either, "06_models", "gnet8j_voxels.parquet")}
    common = chosen | dict.fromkeys(("betas", "images", "trials"))
    assert made_from(either, "06_models", "gnet8j_voxels.parquet") == dict.fromkeys(
        ("betas", "trials", "voxels")
    )
    assert made_from(either, "06_models", "gnet8j.h5") == common | {"prefilter": None}
    assert made_from(either, "07_model_output", "gnet8j_accuracy.parquet") == common | {"gnet8j": joint}
    areas = {
        f"{area}_gnet8r_accuracy": version(either, "07_model_output", f"{area}_gnet8r_accuracy.parquet")
        for area in ("V1", "V2", "V3", "hV4")
    }
    assert made_from(either, "07_model_output", "gnet8r_accuracy.parquet") == areas


def test_predictions_of_a_model_that_was_fitted_again_are_not_used(encoded):
    encoded.run("prediction")
    before = version(encoded, "06_models", "gnet8j.h5")
    encoded.run("encoding_joint", fitting={"seed": 5})
    after = version(encoded, "06_models", "gnet8j.h5")
    message, _ = encoded.refused("synthetic", fitting={"seed": 5})
    assert message == "\n".join(
        [
            "",
            "OutdatedError: stored data were made with other parameters, or from other versions, than this "
            "run uses:",
            f"- gnet8j_predictions: made from gnet8j of {before}, in use is {after}",
            "Make them again: kedro run --env tiny --pipelines prediction --to-outputs "
            "gnet8j_noise_model,gnet8j_predictions --params fitting.seed=5",
            "Or set the parameters back. Or choose versions that belong together: --load-versions "
            "NAME:VERSION,... Or keep both: another folder in GNET_DATA.",
        ]
    )


def test_the_command_in_the_message_makes_it_right(encoded):
    encoded.run("prediction")
    encoded.run("encoding_joint")
    message, _ = encoded.refused("synthetic")
    command = shlex.split(message.split("Make them again: ")[1].splitlines()[0])
    outputs = "gnet8j_noise_model,gnet8j_predictions"
    assert command == [
        *("kedro", "run", "--env", "tiny", "--pipelines", "prediction", "--to-outputs", outputs)
    ]
    encoded.run("prediction", only=outputs.split(","))
    assert "make_synthetic_responses" in encoded.run("synthetic", only=["synthetic.betas"]).nodes


def test_a_run_that_fits_anew_does_not_take_results_of_the_old_one(encoded):
    encoded.run("prediction")
    old = version(encoded, "06_models", "gnet8j.h5")
    message, run = encoded.failed("encoding_joint", "synthetic")
    assert f"- gnet8j_predictions: made from gnet8j of {old}, this run makes another" in message
    assert run.nodes == []


def test_results_without_a_record_are_taken_as_they_are(encoded):
    encoded.run("prediction")
    for path in (encoded.data / "07_model_output").glob("*/*/record.json"):
        path.unlink()
    encoded.run("encoding_joint")
    assert "make_synthetic_responses" in encoded.run("synthetic", only=["synthetic.betas"]).nodes


def stopped_after(monkeypatch, kind, name):
    """A disk that is full just when a dataset of this file name was saved."""
    saved = kind.save

    def save(dataset, content):
        saved(dataset, content)
        if dataset._filepath.name == name:
            raise StorageError(f"{name}: the disk is full")

    monkeypatch.setattr(kind, "save", save)


def run_with(project, versions, *pipelines, only=None):
    with project.session() as session:
        session.run(pipeline_names=list(pipelines), to_outputs=only, load_versions=versions)


def test_a_stop_between_data_and_their_record(prepared, monkeypatch):
    """The data may be those of other parameters, whatever today's are."""
    with monkeypatch.context() as patch:
        stopped_after(patch, TableDataset, "trials.parquet")
        prepared.failed("data_engineering", split={"seed": 9})
    for seed in (1, 9):
        message, run = prepared.refused("encoding_joint", split={"seed": seed})
        assert "- trials: a run was stopped while it stored these" in message
        assert f"--pipelines data_engineering --to-outputs trials --params split.seed={seed}" in message
        assert run.nodes == []
    prepared.run("data_engineering", only=["trials"])
    assert "fit_gnet8j" in prepared.run("encoding_joint", fitting={"epochs": 1}).nodes


def test_a_stop_after_a_version_was_stored(encoded, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_after(patch, HDF5Dataset, "gnet8j_noise_model.h5")
        stopped_after(patch, HDF5Dataset, "gnet8j_predictions.h5")
        encoded.failed("prediction")
    encoded.run("prediction", only=["gnet8j_noise_model"])
    for path in (encoded.data / "07_model_output" / "gnet8j_predictions.h5").iterdir():
        assert (path / "record.json").is_file()
    encoded.run("encoding_joint")
    message, _ = encoded.refused("synthetic")
    assert "- gnet8j_predictions: made from gnet8j of" in message


def test_prerequisites_are_made_from_the_versions_that_are_named(encoded):
    first = version(encoded, "06_models", "gnet8j.h5")
    encoded.run("encoding_joint")
    assert version(encoded, "06_models", "gnet8j.h5") != first
    run_with(encoded, {"gnet8j": first}, "synthetic", only=["synthetic.betas"])
    assert made_from(encoded, "07_model_output", "gnet8j_predictions.h5")["gnet8j"] == first
    message, _ = encoded.refused("synthetic")
    assert f"- gnet8j_predictions: made from gnet8j of {first}, in use is" in message


def test_the_command_keeps_the_versions_that_are_named(encoded):
    first = version(encoded, "06_models", "gnet8j.h5")
    encoded.run("encoding_joint")
    encoded.run("prediction")
    with pytest.raises(Exception, match=f"--to-outputs gnet8j_.* --load-versions gnet8j:{first}"):
        run_with(encoded, {"gnet8j": first}, "synthetic", only=["synthetic.betas"])


def test_a_version_that_is_named_must_be_there_and_not_be_made(encoded):
    with pytest.raises(Exception, match="gnet8j: expected its version 1999, which --load-versions"):
        run_with(encoded, {"gnet8j": "1999"}, "prediction")
    first = version(encoded, "06_models", "gnet8j.h5")
    with pytest.raises(Exception, match="gnet8j: expected it to be read only, since --load-versions names"):
        run_with(encoded, {"gnet8j": first}, "encoding_joint")


def test_a_version_that_hides_the_one_that_is_about_to_be_saved(encoded):
    versions = encoded.data / "06_models" / "gnet8j.h5"
    [first] = versions.iterdir()
    shutil.copytree(first, versions / LATER)
    message, run = encoded.refused("encoding_joint", fitting={"seed": 99})
    assert message.startswith("\nOutdatedError: gnet8j: expected only versions older than 20")
    assert f"which this run is about to save, found {LATER}. The run would make gnet8j and then" in message
    assert f"move {versions / LATER} to another folder." in message
    assert run.nodes == []
    (versions / LATER).rename(versions / "best")  # which is no version, and hides none
    assert "fit_gnet8j" in encoded.run("encoding_joint").nodes


def test_what_is_missing_is_not_made_from_a_model_that_this_run_makes_anew(encoded):
    message, run = encoded.failed("encoding_joint", "synthetic")
    assert "which this run makes anew. Let one run make all of them: --pipelines " in message
    assert "encoding_joint,synthetic,prediction" in message
    assert run.nodes == []


def test_a_folder_of_gnet_0_1(encoded):
    """Parameters and versions lay apart from each other."""
    encoded.run("prediction")
    before = version(encoded, "06_models", "gnet8j.h5")
    for path in encoded.data.rglob("*.record.json"):
        former = {key: json.loads(path.read_text())[key] for key in ("made_by", "parameters")}
        path.with_name(path.name.replace(".record.json", ".parameters.json")).write_text(json.dumps(former))
        path.unlink()
    for path in encoded.data.rglob("*/record.json"):
        sources = json.loads(path.read_text())["sources"]
        former = {name: version for name, version in sources.items() if version}
        path.with_name("made_from.json").write_text(json.dumps(former))
        path.unlink()
    encoded.run("encoding_joint")
    message, run = encoded.refused("synthetic", images={"pixels": 60})
    assert f"- gnet8j_predictions: made from gnet8j of {before}, in use is " in message
    assert run.nodes == []
    message, _ = encoded.refused("encoding_joint", images={"pixels": 60})
    assert "- images: images.pixels was 51, is 60" in message
    assert "--pipelines data_engineering --to-outputs images --params" in message
