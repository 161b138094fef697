"""Disks that are full or cannot be written to, files that cannot be read, Ctrl-C, a second run: real ones.

Each time: one message, nothing half-written, nothing lost that was finished, and the same command goes on.
"""

import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from kedro.framework.project import pipelines

from disks import bound, read_only, resize, small_disk

SHORT = {"fitting": {"epochs": 2}, "scoring": {"resamples": 2}}
UNFINISHED = "06_models/unfinished/gnet8j.pt"


@pytest.fixture(scope="module")
def engineered(project_at, tmp_path_factory):
    """All data ready to fit. Not to be written to."""
    project = project_at(tmp_path_factory.mktemp("engineered") / "data")
    project.run("data_engineering")
    return project


@pytest.fixture
def ready(engineered, project_at, tmp_path):
    """A copy of them."""
    shutil.copytree(engineered.data, tmp_path / "data")
    return project_at(tmp_path / "data")


def kedro(project, *arguments, prefix=(), pipeline="encoding_joint", **parameters):
    """`kedro run`, as a user gives it, begun."""
    given = ",".join(f"{name}={value}" for name, value in parameters.items())
    command = ["run", "--env", "tiny", "--pipelines", pipeline, *arguments]
    command += ["--params", f"scoring.resamples=2{',' if given else ''}{given}"]
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "kedro", *command],
        cwd=project.conf.parent,
        env={**os.environ, "NSD_ROOT": "", "GNET_DATA": str(project.data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def half_written(data):
    """What a run has left that is no result: parts of files, announcements, empty folders."""
    return [
        path
        for path in data.rglob("*")
        if path.name.endswith(".part")
        or path.name.startswith(".run-")
        or (path.is_dir() and not any(path.iterdir()))
    ]


def test_a_disk_that_fills_up_again_and_again(engineered, fresh):
    """From nothing to a model, with too little room at ever later moments."""
    stopped = []
    rooms = (100_000, 1_200_000, 3_000_000, 6_500_000, 80_000_000)
    with small_disk(fresh.data, rooms[0]):
        for room in rooms:
            resize(fresh.data, room)
            error, _ = fresh.failed("encoding_joint", **SHORT)
            if not error:
                break
            assert error.startswith(f"\nStorageError: {fresh.data}/")
            assert "expected room " in error
            assert half_written(fresh.data) == []
            stopped.append(error.removeprefix(f"\nStorageError: {fresh.data}/").split(":")[0])
        assert not error, "the last disk is large enough"
        assert len(set(stopped)) >= 3, stopped
        for name in ("images", "image_ids"):
            np.testing.assert_array_equal(fresh.load(name), engineered.load(name))
        for subject, stored in engineered.load("betas").items():
            np.testing.assert_array_equal(fresh.load("betas")[subject].betas, stored.betas)


def test_a_limit_on_the_size_of_files(ready):
    """Where no disk can be mounted: a file that cannot be written to its end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        error, run = ready.failed("encoding_joint", **SHORT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.startswith(
        f"\nStorageError: {ready.data}/{UNFINISHED}: expected room for all of it, found a "
    )
    assert run.nodes == ["choose_voxels_gnet8j", "fit_gnet8j"]
    assert half_written(ready.data) == []


def test_a_data_folder_that_can_only_be_read(ready):
    with read_only(ready.data):
        error, run = ready.refused("encoding_joint")
        assert f"StorageError: {ready.data}/" in error
        assert "expected a disk that can be written to, found a read-only one. Mount it writable" in error
        assert run.nodes == []
        assert ready.load("trials")["subject"].nunique() == 2  # a notebook may look


def test_a_file_that_must_not_be_read(ready):
    betas = ready.data / "03_primary" / "betas.h5"
    betas.chmod(0)
    process = kedro(ready, prefix=bound())
    output, errors = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in output + errors
    assert errors.splitlines()[-1].startswith(
        f"StorageError: {betas}: expected permission to read and write there, found none. Ask its owner"
    )
    assert half_written(ready.data) == []


def test_a_file_that_was_cut_short(ready):
    betas = ready.data / "03_primary" / "betas.h5"
    betas.write_bytes(betas.read_bytes()[:10_000])
    error, _ = ready.failed("encoding_joint", **SHORT)
    assert error.startswith(f"\nStorageError: {betas}: expected a complete HDF5 file, found a file that ")
    assert error.endswith("If it was cut short or damaged, delete it and run the pipeline that makes it.")


def test_ctrl_c_and_a_second_run(ready):
    """The second run is refused; Ctrl-C ends the first, and the same command goes on from there."""
    epochs = 20
    with kedro(ready, **{"fitting.epochs": epochs}) as first:
        try:
            while not (ready.data / UNFINISHED).exists() and first.poll() is None:
                time.sleep(0.01)
            first.send_signal(signal.SIGSTOP)  # or it might be done before the second run has begun
            error, run = ready.failed("encoding_joint", **SHORT, images={"pixels": 57})  # outdated, too
            assert f"BusyError: {ready.data}: expected no other run at what this one reads and mak" in error
            made = "gnet8j, gnet8j_accuracy, gnet8j_figure, gnet8j_summary, gnet8j_voxels"
            assert f"makes {made} (process {first.pid} " in error
            assert "run --env tiny --pipelines encoding_joint" in error
            assert run.nodes == []
            assert ready.load("trials")["subject"].nunique() == 2  # a notebook may look
            first.send_signal(signal.SIGINT)
            first.send_signal(signal.SIGCONT)
            output, errors = first.communicate()
        finally:
            first.kill()
    assert first.returncode == 130, output + errors
    assert errors.strip() == (
        "Interrupted. What is finished is kept: the same command, given again, goes on from there."
    )
    assert "Traceback" not in output
    assert half_written(ready.data) == []
    run = ready.run("encoding_joint", fitting={"epochs": epochs}, scoring={"resamples": 2})
    assert f"{ready.data / UNFINISHED}: resuming after epoch " in run.log
    assert not (ready.data / UNFINISHED).exists()
    assert len(ready.load("gnet8j").history) == epochs


def test_every_node_can_be_sent_to_another_process():
    for pipeline in pipelines.values():
        for node in pipeline.nodes:
            pickle.dumps(node)


@pytest.mark.slow
def test_several_processes_at_once(ready):
    process = kedro(ready, "--runner", "ParallelRunner", pipeline="encoding_roi", **{"fitting.epochs": 1})
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert half_written(ready.data) == []
    assert set(ready.load("gnet8r_accuracy")["area"]) == {"V1", "V2", "V3", "hV4"}
