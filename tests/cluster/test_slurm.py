"""Runs on a Slurm of two nodes: what is lost comes back, what ends leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster_runs import ROOT, Command, assert_same, assert_same_arrays, files, places, seed_of, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

CARDS = {"type": "slurm", "jobs": 2, "gpu": True, "threads": 1, "sbatch": {"gres": "gpu:1"}}
JOINT = ("--pipelines", "encoding_joint", "--params")
LONG = (*JOINT, "fitting.epochs=20,device=cpu")
MODEL = "06_models/gnet8j.h5/VERSION/gnet8j.h5"


def queue() -> list[str]:
    """The numbers of the jobs that wait or run."""
    return subprocess.run(
        ["squeue", "-h", "-o", "%i"], capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.fixture
def command(slurm, tmp_path):
    command = Command(tmp_path)
    command.describe("slurm", CARDS)
    yield command
    wait_until(lambda: not queue())


@pytest.fixture
def prepared(command, whole_run):
    """A command that finds the release and all that is prepared, but no models."""
    for layer in ("01_raw", "02_intermediate", "03_primary", "05_model_input"):
        shutil.copytree(whole_run / layer, command.data / layer)
    return command


@pytest.fixture(scope="module")
def uninterrupted(slurm, whole_run, tmp_path_factory):
    """The model of a long fit in one process."""
    command = Command(tmp_path_factory.mktemp("uninterrupted"))
    for layer in ("01_raw", "02_intermediate", "03_primary", "05_model_input"):
        shutil.copytree(whole_run / layer, command.data / layer)
    command.succeeds(*LONG)
    return files(command.data)[MODEL]


def in_the_fit(command, process):
    """Wait until a fit has kept its state; the machine, the process and the card of the fit."""
    wait_until(lambda: command.states() or process.poll() is not None)
    assert process.poll() is None, command.output.read_text()
    return places(command.output.read_text())["encoding_joint.fit_gnet8j"]


def test_the_whole_run_gives_the_same_files(command, whole_run):
    log = command.succeeds("--params", "device=cpu", cluster="slurm")
    assert_same(whole_run, command.data)
    used = places(log)
    assert sum("fit_" in node for node in used) >= 18
    assert {(machine, card) for machine, _, card in used.values()} == {("n1", "0"), ("n2", "0")}
    assert len({process for _, process, _ in used.values()}) == 2  # one for each card, of one thread


def test_a_worker_that_is_killed_in_a_fit(prepared, uninterrupted):
    process = prepared.start(*LONG, cluster="slurm")
    _, worker, _ = in_the_fit(prepared, process)
    os.kill(int(worker), signal.SIGKILL)
    assert prepared.ended(process) == 0
    assert "resuming after epoch" in prepared.log
    assert_same_arrays(files(prepared.data)[MODEL], uninterrupted)


def test_a_job_that_is_cancelled_in_a_fit(prepared, uninterrupted):
    process = prepared.start(*LONG, cluster="slurm")
    machine, _, _ = in_the_fit(prepared, process)
    subprocess.run(["scancel", "-w", machine], check=True)
    assert prepared.ended(process) == 0
    assert "resuming after epoch" in prepared.log
    assert_same_arrays(files(prepared.data)[MODEL], uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_job_and_goes_on(prepared, uninterrupted, number):
    process = prepared.start(*LONG, cluster="slurm")
    in_the_fit(prepared, process)
    process.send_signal(number)
    assert prepared.ended(process, 30) == 128 + number
    assert prepared.log.rstrip().endswith("the same command, given again, goes on from there.")
    assert "Traceback" not in prepared.log
    wait_until(lambda: not queue(), 10)
    if number == signal.SIGTERM:  # nor does it matter where it goes on
        assert "resuming after epoch" in prepared.succeeds(*LONG)
        assert_same_arrays(files(prepared.data)[MODEL], uninterrupted)


def test_a_run_that_is_killed_leaves_no_job(prepared):
    process = prepared.start(*LONG, cluster="slurm")
    in_the_fit(prepared, process)
    process.kill()
    prepared.ended(process)
    wait_until(lambda: not queue(), 90)


def test_a_node_without_the_gpu_that_it_promised(prepared):
    message = prepared.fails(*JOINT, "device=auto", cluster="slurm")
    assert message.startswith("DeviceError: encoding_joint.fit_gnet8j: expected a GPU on n")


def test_options_that_sbatch_refuses(prepared):
    prepared.describe("slurm", CARDS | {"sbatch": {"gres": "gpu:1", "partition": "imaginary"}})
    message = prepared.fails(*JOINT, "device=cpu", cluster="slurm")
    assert message.startswith("ClusterError: cluster slurm: expected options that sbatch accepts, it says: ")
    assert "invalid partition" in message


def test_two_runs_at_once_do_not_mix(prepared, slurm, whole_run, tmp_path):
    other = Command(tmp_path / "other")
    other.describe("slurm", CARDS)
    for layer in ("01_raw", "02_intermediate", "03_primary", "05_model_input"):
        shutil.copytree(whole_run / layer, other.data / layer)
    process = prepared.start(*JOINT, "device=cpu,seed=1", cluster="slurm")
    another = other.start(*JOINT, "device=cpu,seed=2", cluster="slurm")
    assert (prepared.ended(process), other.ended(another)) == (0, 0)
    found = [files(command.data)[MODEL] for command in (prepared, other)]
    assert [seed_of(path) for path in found] == [1, 2]


def test_the_guides_script_for_containers_on_several_nodes(prepared, whole_run, tmp_path):
    """With a stand-in for Apptainer, which runs the command on this machine."""
    stand_in = tmp_path / "apptainer"
    stand_in.write_text(
        f'#!/bin/bash\nuntil [ "$1" = gnet.sif ]; do shift; done\nshift\ncd {ROOT}\nexec "$@"\n'
    )
    stand_in.chmod(0o755)
    data, output = prepared.data, tmp_path / "output.txt"
    running = {"type": "running", "scheduler_file": f"{data}/scheduler.json", "gpu": True}
    prepared.describe("running", running)
    run = f"kedro run --env tiny --conf-source {prepared.conf} --pipelines encoding_roi --params device=cpu"
    [script] = re.findall(r"^```bash\n(.*?)^```$", (ROOT / "docs/cluster.md").read_text(), re.M | re.S)
    for text, here in (
        ("kedro run", run),
        ("/large/gnet", str(data)),
        ("file /data", f"file {data}"),
        ("--ntasks=8", "--ntasks=2"),  # nodes have two cores each, and a card
        ("--cpus-per-task=8 --mem-per-cpu=8G", "--cpus-per-task=1 --ntasks-per-node=1"),
        ("OMP_NUM_THREADS=8", "OMP_NUM_THREADS=1"),
    ):
        assert text in script
        script = script.replace(text, here)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sbatch", "--wait", "--output", output],
        input=script,
        env=prepared.environment | {"PATH": path},
        text=True,
        timeout=300,
        check=False,
    )
    log = output.read_text()
    assert done.returncode == 0, log
    wait_until(lambda: not (data / "scheduler.json").exists())  # the scheduler has ended with the job
    used = {(machine, card) for machine, _, card in places(log).values()}
    assert {machine for machine, _ in used} == {"n1", "n2"}
    assert None not in {card for _, card in used}
    assert_same(data, whole_run, names=lambda name: "gnet8r" in name)
