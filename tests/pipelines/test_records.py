"""Data that were made with other parameters are not used."""

import json
import shlex

import pytest

from gnet.errors import StorageError
from gnet.io.tables import TableDataset

PREPARED = (
    "01_raw/nsd",
    "02_intermediate/images.npy",
    "03_primary/betas.h5",
    "03_primary/masks",
    "03_primary/trials.parquet",
    "03_primary/voxels.parquet",
    "05_model_input/prefilter.h5",
)


def record(project, name):
    return json.loads((project.data / f"{name}.record.json").read_text())


def test_every_unversioned_dataset_has_a_record(finished):
    project, _ = finished
    for name in PREPARED:
        assert record(project, name)["parameters"]
    assert not [path for path in project.files() if path[:2] > "05" and path.endswith(".record.json")]


def test_a_record_holds_what_the_data_depend_on_and_no_more(finished):
    project, _ = finished
    base = {"release", "release.sessions", "simulation"}
    assert record(project, "02_intermediate/images.npy")["made_by"].endswith("prepare_images")
    expected = {
        "01_raw/nsd": {"release.sessions", "simulation"},
        "02_intermediate/images.npy": base | {"images"},
        "03_primary/betas.h5": base | {"areas", "masks"},
        "03_primary/voxels.parquet": base | {"areas", "masks"},
        "03_primary/trials.parquet": base | {"split"},
        "05_model_input/prefilter.h5": {"release.sessions", "simulation", "prefilter"},
    }
    for name, parameters in expected.items():
        assert set(record(project, name)["parameters"]) == parameters
    assert record(project, "02_intermediate/images.npy")["parameters"]["images"]["pixels"] == 51


OTHERS = {
    "images": ({"images": {"pixels": 60}}, ["images.pixels was 51, is 60"], "data_engineering", "images"),
    "split": (
        {"split": {"test": "special"}},
        ['trials: split.test was "shared", is "special"'],
        "data_engineering",
        "trials",
    ),
    "prefilter": (
        {"prefilter": {"source": "random"}},
        ['prefilter: prefilter.source was "gabor", is "random"'],
        "data_engineering",
        "prefilter",
    ),
    "release": (
        {"release": {"betas_format": "nifti"}},
        ['betas, images, trials, voxels: release.betas_format was "hdf5", is "nifti"'],
        "data_engineering,masks",
        "betas,images,trials,voxels",
    ),
    "simulation": (
        {"simulation": {"organisation": "parallel"}},
        [
            "betas, images, prefilter, trials, voxels: "
            'simulation.organisation was "hierarchical", is "parallel"'
        ],
        "data_engineering,masks,simulation",
        "betas,images,prefilter,trials,voxels",
    ),
}


@pytest.mark.parametrize("pipeline", ["encoding_joint", "encoding_roi"])
@pytest.mark.parametrize("kind", OTHERS)
def test_data_made_with_other_parameters_stop_the_run(prepared, kind, pipeline):
    parameters, lines, making, outputs = OTHERS[kind]
    message, run = prepared.refused(pipeline, **parameters)
    assert message.startswith(
        "\nOutdatedError: stored data were made with other parameters, or from other versions, than this run "
        "uses:\n- "
    )
    for line in lines:
        assert line in message
    [(name, value)] = next(iter(parameters.values())).items()
    given = f"{next(iter(parameters))}.{name}={value}"
    command = f"kedro run --env tiny --pipelines {making} --to-outputs {outputs} --params {given}"
    assert f"\nMake them again: {command}\n" in message
    assert "Or set the parameters back." in message
    assert run.nodes == []


def test_areas_and_masks(prepared, tmp_path):
    project = prepared.with_parameters(
        tmp_path / "conf",
        areas={"FFA": {"family": "floc-faces", "labels": ["FFA-1"]}},
        masks={"tabulated": ["nsdgeneral"]},
    )
    message, _ = project.refused("encoding_roi")
    assert '- betas, voxels: areas.FFA.family was not set, is "floc-faces"' in message
    assert '- betas, voxels: areas.FFA.labels was not set, is ["FFA-1"]' in message
    assert '- betas, voxels: masks.tabulated was ["early_visual"], is ["nsdgeneral"]' in message
    assert (
        f"--env tiny --conf-source {shlex.quote(str(project.conf))} --pipelines data_engineering,masks"
        in message
    )
    assert "--to-outputs betas,voxels\n" in message


def test_the_command_makes_them_again_and_nothing_else(prepared):
    images = {"pixels": 60}
    betas = prepared.data / "03_primary" / "betas.h5"
    before = betas.stat().st_mtime_ns
    prepared.refused("encoding_joint", images=images)
    run = prepared.run("data_engineering", only=["images"], images=images)
    assert run.nodes == ["take_inventory", "list_images", "prepare_images"]
    prepared.run("encoding_joint", images=images, fitting={"epochs": 1}, scoring={"resamples": 2})
    assert prepared.load("gnet8j").architecture.pixels == 60
    assert betas.stat().st_mtime_ns == before
    message, _ = prepared.refused("encoding_joint")
    assert "- images: images.pixels was 60, is 51" in message


def test_a_new_simulation_makes_what_came_from_the_old_one_outdated(prepared):
    simulation = {"organisation": "parallel"}
    prepared.refused("masks", simulation=simulation)
    run = prepared.run("simulation", "data_engineering", "masks", simulation=simulation)
    assert run.nodes[0] == "simulate_release"
    prepared.run("encoding_joint", simulation=simulation, fitting={"epochs": 1}, scoring={"resamples": 2})


def test_what_is_missing_is_not_made_from_outdated_data(prepared):
    (prepared.data / "03_primary" / "betas.h5").unlink()
    (prepared.data / "03_primary" / "trials.parquet").unlink()
    message, run = prepared.refused("encoding_joint", release={"betas_format": "nifti"})
    assert "images, voxels: release.betas_format" in message
    (prepared.data / "02_intermediate" / "images.npy").unlink()
    (prepared.data / "03_primary" / "voxels.parquet").unlink()
    message, run = prepared.refused("encoding_joint", release={"betas_format": "nifti"})
    assert "image_ids, inventory" in message  # what the missing would be made from
    assert run.nodes == []


def test_what_is_missing_is_made_anew_without_its_record(prepared):
    (prepared.data / "03_primary" / "trials.parquet").unlink()  # its record stays
    run = prepared.run("encoding_joint", split={"seed": 9}, fitting={"epochs": 1}, scoring={"resamples": 2})
    assert run.nodes[0] == "tabulate_trials"
    assert record(prepared, "03_primary/trials.parquet")["parameters"]["split"]["seed"] == 9


def test_what_is_made_together_with_the_missing_is_not_held_against_the_run(prepared, tmp_path):
    project = prepared.with_parameters(tmp_path / "conf", masks={"tabulated": ["nsdgeneral"]})
    (prepared.data / "03_primary" / "betas.h5").unlink()
    (prepared.data / "03_primary" / "voxels.parquet").unlink()  # the volumes of the same node stay
    run = project.run("encoding_joint", fitting={"epochs": 1}, scoring={"resamples": 2})
    assert run.nodes[:2] == ["draw_masks", "prepare_responses"]
    assert record(project, "03_primary/masks")["parameters"]["masks"] == {"tabulated": ["nsdgeneral"]}


def test_data_without_a_record_are_taken_as_they_are(prepared):
    for path in prepared.data.rglob("*.record.json"):
        path.unlink()
    prepared.run("encoding_joint", images={"pixels": 60}, fitting={"epochs": 1}, scoring={"resamples": 2})
    assert prepared.load("gnet8j").architecture.pixels == 51


def test_a_record_that_cannot_be_read_is_reported(prepared):
    path = prepared.data / "02_intermediate" / "images.npy.record.json"
    path.write_text("{")
    run = prepared.run("encoding_joint", fitting={"epochs": 1}, scoring={"resamples": 2})
    assert f"{path} is no record that can be read: the data beside it are taken as they are." in run.log


def test_parameters_of_the_fit_concern_no_prepared_data(prepared):
    run = prepared.run(
        "encoding_joint", fitting={"epochs": 1, "seed": 3, "l1": 0.2}, scoring={"resamples": 2}
    )
    assert run.nodes[0] == "choose_voxels_gnet8j"


def test_where_data_lie_does_not_matter(prepared):
    prepared.data.rename(prepared.data.parent / "moved")
    moved = type(prepared)(prepared.data.parent / "moved")
    run = moved.run("encoding_joint", fitting={"epochs": 1}, scoring={"resamples": 2})
    assert run.nodes[0] == "choose_voxels_gnet8j"


def test_a_failing_node_leaves_no_record(prepared, tmp_path):
    path = prepared.data / "02_intermediate" / "images.npy"
    before = path.with_name("images.npy.record.json").read_bytes()
    stimuli = next((prepared.data / "01_raw" / "nsd").rglob("nsd_stimuli.hdf5"))
    stimuli.rename(tmp_path / "elsewhere")
    prepared.refused("data_engineering", images={"pixels": 60})
    assert path.with_name("images.npy.record.json").read_bytes() == before


def test_the_record_comes_before_the_data(prepared, monkeypatch):
    """So that a disk that is full just then leaves no data that nobody can tell from those of today."""
    path = prepared.data / "03_primary" / "trials.parquet"
    record_of = path.with_name("trials.parquet.record.json")
    path.unlink()
    record_of.unlink()
    saved = TableDataset.save

    def save(dataset, table):
        if str(dataset._filepath) == str(path):
            assert record_of.is_file()
            raise StorageError(f"{path}: the disk is full")
        saved(dataset, table)

    monkeypatch.setattr(TableDataset, "save", save)
    message, _ = prepared.failed("data_engineering", split={"seed": 9})
    assert message == f"\nStorageError: {path}: the disk is full"
    assert record(prepared, "03_primary/trials.parquet")["parameters"]["split"]["seed"] == 9
    assert not path.exists()
