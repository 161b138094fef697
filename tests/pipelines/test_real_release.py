"""`--env nsd`: a release that is not ours is read, never written, and its absence stops a run at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from gnet.pipelines.parameters import RENAMED
from gnet.readers.nsd.layout import AGREEMENT, Layout

SIMULATION = {
    "volume_shapes": {"subj01": [10, 12, 9], "subj02": [11, 10, 9]},
    "planned_sessions": 3,
    "trials_per_session": 8,
    "shared_images": 3,
    "own_images": 5,
    "stimulus_pixels": 32,
    "voxels_per_label": [2, 3],
    "missing_voxels": 0,
}
SET_IT = "Set the environment variable NSD_ROOT to the folder that holds nsddata, nsddata_betas and"


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture
def project(release_at, tmp_path):
    """The configuration of the real release, with the sizes of the tiny one, and nothing made yet."""
    return release_at(tmp_path)


@pytest.fixture
def root(project):
    """Its release, which no simulation claims."""
    return Path(project.variables["NSD_ROOT"])


def test_a_release_at_hand_is_used_and_not_written(project, root):
    before = state(root)
    run = project.run("encoding_joint", fitting={"readout_learning_rate": 0.02})
    assert "simulate_release" not in run.nodes
    assert "simulating" not in run.log
    assert state(root) == before
    assert not (project.data / "01_raw").exists()
    assert sorted(path.name for path in root.parent.iterdir()) == ["conf", "data", "nsd"]
    configuration = project.load("gnet8j").configuration
    assert (configuration["trunk_learning_rate"], configuration["readout_learning_rate"]) == (0.001, 0.02)


def test_simulating_into_a_read_only_release_is_refused(project, root):
    before = state(root)
    with pytest.raises(Exception, match="this release is read-only, nothing was written"):
        project.run("simulation", simulation=SIMULATION)
    assert state(root) == before


@pytest.mark.parametrize("old", RENAMED)
def test_former_names_of_parameters_are_refused(project, old):
    group = "model" if old == "momentum" else "fitting"
    message, run = project.refused("encoding_joint", **{group: {old: 0.5}})
    assert f"{old} is now called {RENAMED[old]}: rename it" in message
    assert run.nodes == []


@pytest.mark.parametrize("pipeline", ["data_engineering", "masks", "encoding_joint", "encoding_roi"])
def test_unset(fresh, pipeline):
    message, run = replace(fresh, env="nsd").refused(pipeline)
    assert message.startswith(f"\nReleaseError: the folder of the NSD release is not set. {SET_IT}")
    assert AGREEMENT in message
    assert run.nodes == []
    assert not fresh.data.exists()


def test_no_such_folder(fresh, tmp_path):
    project = replace(fresh, env="nsd", variables={"NSD_ROOT": str(tmp_path / "nowhere")})
    message, run = project.refused("encoding_roi")
    assert (
        f"{tmp_path}/nowhere: expected the folder of an NSD release, found no such folder. {SET_IT}"
        in message
    )
    assert run.nodes == []


def test_no_release(fresh, tmp_path):
    (tmp_path / "photographs" / "2019").mkdir(parents=True)
    project = replace(fresh, env="nsd", variables={"NSD_ROOT": str(tmp_path / "photographs")})
    message, run = project.refused("encoding_roi")
    assert "photographs: expected a folder nsddata in it, as NSD has, found only 2019" in message
    assert run.nodes == []


def test_missing_files_stop_the_run_until_they_have_come(project, root):
    layout = Layout(root)
    absent = [layout.betas("subj01", 2, "hdf5"), layout.stimuli, layout.roi("subj02", "Kastner2015")]
    for path in absent:
        path.rename(path.with_suffix(".elsewhere"))
    message, run = project.refused("encoding_joint")
    assert run.nodes[0] == "take_inventory"
    assert message.startswith("\nReleaseError: the release: expected ")
    assert "files that are there and whole, found 3 that are not:" in message
    assert "betas_session02.hdf5: missing in the middle: session 3 is there, session 2 is not" in message
    assert AGREEMENT in message
    assert message.index(AGREEMENT) < message.index("aws s3 cp")
    for path in absent:
        name = path.relative_to(root)
        assert f"aws s3 cp --no-sign-request s3://natural-scenes-dataset/{name} {path}" in message
        path.with_suffix(".elsewhere").rename(path)
    run = project.run("encoding_joint")
    assert run.nodes[0] == "take_inventory"
    assert run.nodes[-1] == "summarise_gnet8j"
    run = project.run("encoding_joint")
    assert "take_inventory" not in run.nodes


def test_what_is_prepared_needs_no_release(project, root, tmp_path):
    project.run("data_engineering", "masks")
    root.rename(tmp_path / "unplugged")
    run = project.run("encoding_joint")
    assert run.nodes[-1] == "summarise_gnet8j"
