"""Runs on the workers of this machine, as a user starts them; and what is refused before they start."""

import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
import yaml
from distributed.scheduler import KilledWorker
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner

from cluster_runs import ROOT, Command, assert_same, files, places, seed_of, wait_until
from gnet.cluster import CLUSTERS, DaskRunner
from gnet.cluster.sections import section_of
from gnet.errors import ClusterError
from gnet.readers.nsd.layout import MARKER
from nsd_sizes import SIZES, merge

CONFIGURATION = {
    "cluster": yaml.safe_load((ROOT / "conf" / "base" / "cluster.yml").read_text()),
    "globals": {"data_root": "data"},
}


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


@pytest.fixture
def prepared(whole_run, tmp_path):
    """A data folder with the release and what is prepared, without models."""
    for layer in ("01_raw", "02_intermediate", "03_primary", "05_model_input"):
        shutil.copytree(whole_run / layer, tmp_path / "data" / layer)
    return tmp_path / "data"


def test_what_the_guide_and_the_configuration_describe():
    guide = (ROOT / "docs" / "cluster.md").read_text()
    [written] = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    slurm = section_of("slurm", yaml.safe_load(textwrap.dedent(written)))
    assert {"--gres=gpu:1", "--partition=gpu", "--time=08:00:00"} <= set(slurm.options())
    configured = CONFIGURATION["cluster"]
    assert [section_of(name, configured).type for name in configured] == list(configured)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"type": "local"}, "cluster here: workers: Field required. Correct it in cluster.yml."),
        ({"type": "local", "workers": 0}, "workers: Input should be greater than or equal to 1"),
        ({"type": "local", "workers": 1, "gpus": 1}, "gpus: Extra inputs are not permitted"),
        ({"type": "local", "workers": 2, "gpu": True}, "gpu: Input should be False"),
        ({"type": "gpus", "gpus": []}, "gpus: Tuple should have at least 1 item"),
        ({"type": "pbs"}, "'local', 'gpus', 'slurm', 'running'"),
        (
            {"type": "slurm", "jobs": 1, "gpu": True, "sbatch": {"mem": "8G"}},
            "expected an option of sbatch that asks for a GPU, since gpu is true, found --mem=8G. Add one",
        ),
    ],
)
def test_what_cannot_be_a_cluster(described, message):
    with pytest.raises(ClusterError) as caught:
        section_of("here", {"here": described})
    assert message in str(caught.value)


def test_a_cluster_that_is_not_described(command):
    message = command.fails(cluster="lokal")
    assert message.startswith(
        "ClusterError: cluster: expected one of local, gpus, slurm, running, got lokal."
    )


def test_a_dataset_that_is_not_stored(command, prepared):
    command.rewrite("catalog_06_models.yml", '"{model}_voxels"', '"{model}_elsewhere"')
    message = command.fails("--pipelines", "encoding_joint", cluster="local")
    assert message.startswith("ClusterError: gnet8j_voxels: expected datasets that are stored, found that no")


def test_dask_is_not_installed(command, prepared, tmp_path):
    (tmp_path / "without" / "distributed").mkdir(parents=True)
    (tmp_path / "without" / "distributed" / "__init__.py").write_text(
        "raise ImportError('no such module', name='distributed')"
    )
    command.environment["PYTHONPATH"] = str(tmp_path / "without")
    message = command.fails("--pipelines", "encoding_joint", cluster="local")
    assert message == (
        "ClusterError: cluster local: expected Dask, found that distributed is not installed. Install it: "
        'pip install -e ".[cluster]"'
    )


def test_an_error_in_a_worker_is_one_message(command, prepared):
    message = command.fails("--pipelines", "encoding_joint", "--params", "device=cuda", cluster="local")
    assert message.startswith("DeviceError: device: 'cuda' was requested, but torch finds 0 CUDA devices.")


def test_fits_on_two_cards_see_one_each_and_find_the_same(command, prepared, whole_run):
    command.describe("gpus", {"type": "gpus", "gpus": [0, 1], "threads": 1})  # other threads, other digits
    log = command.succeeds("--pipelines", "encoding_roi", "--params", "device=cpu", cluster="gpus")
    used = {(process, card) for _, process, card in places(log).values()}
    assert len(used) == 2
    assert {card for _, card in used} == {"0", "1"}
    found = assert_same(command.data, whole_run, names=lambda name: "gnet8r" in name)
    assert sum(name.endswith("gnet8r.h5") for name in found) == 4
    assert "distributed" not in log


def test_all_fits_of_a_measured_release_have_the_seed_that_the_run_draws(whole_run, tmp_path):
    """With the configuration of the real release, whose seed is null."""
    command = Command(tmp_path, env="nsd")
    shutil.copytree(whole_run / "01_raw" / "nsd", tmp_path / "nsd")
    (tmp_path / "nsd" / MARKER).unlink()
    command.environment["NSD_ROOT"] = str(tmp_path / "nsd")
    path = command.conf / "nsd" / "parameters.yml"
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), SIZES)))
    log = command.succeeds("--pipelines", "encoding_roi", cluster="local")
    [seed] = re.findall(r"Seed of this run: (\d+), drawn", log)
    models = [path for name, path in files(command.data).items() if name.endswith("gnet8r.h5")]
    assert [seed_of(path) for path in models] == [int(seed)] * 4
    versions = {path.parent for name, path in files(command.data).items() if "/VERSION/" in name}
    assert len(versions) == 15  # model, voxels and accuracy of four areas; all accuracies, summary, figure
    assert all((version / "record.json").is_file() for version in versions)
    assert not list((command.data / "06_models" / "unfinished").glob("*.*"))


def test_a_node_that_no_worker_lives_through(monkeypatch):
    """What Dask raises for it ends in a message; what else nodes raise is handed on."""
    runner = DaskRunner("local")
    monkeypatch.setattr(CLUSTERS, "config", CONFIGURATION, raising=False)
    monkeypatch.setattr(CLUSTERS, "project", ROOT, raising=False)
    lost = KilledWorker("fit_gnet8j", None, allowed_failures=20)
    for raised, expected, message in (
        (lost, ClusterError, "cluster local: expected workers that live through a node, lost 21 at the same"),
        (ValueError("no field"), ValueError, "no field"),
    ):

        def fail(*_, raised=raised):
            raise raised

        monkeypatch.setattr(AbstractRunner, "_run", fail)
        with pytest.raises(expected, match=message):
            runner._run(Pipeline([]), DataCatalog())
        assert CLUSTERS.section is None


def test_nobody_has_started_the_cluster(command, prepared):
    command.describe("theirs", {"type": "running", "scheduler_file": "/nowhere/scheduler.json"})
    message = command.fails("--pipelines", "encoding_joint", cluster="theirs")
    assert message.startswith(
        "ClusterError: cluster theirs: expected a Dask scheduler that answers, as /nowhere/scheduler.json "
        "says, found no such file. Start one: dask scheduler --scheduler-file /nowhere/scheduler.json"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nthreads", "2"], "expected workers that run one node at a time, since random seeds belong to a"),
        (["--nthreads", "1"], "expected workers that offer a GPU, since gpu is true, found none among 1."),
    ],
)
def test_a_cluster_of_somebody_else(command, prepared, tmp_path, options, message):
    file = tmp_path / "scheduler.json"
    start = [sys.executable, "-m"]
    scheduler = ["distributed.cli.dask_scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    worker = ["distributed.cli.dask_worker", *options, "--dashboard-address", "127.0.0.1:0"]
    described = {"type": "running", "scheduler_file": str(file)}
    started = [
        subprocess.Popen([*start, *words, "--scheduler-file", file], stderr=subprocess.DEVNULL)
        for words in (scheduler, worker)
    ]
    try:
        wait_until(file.exists)
        command.describe("theirs", described | {"gpu": True})
        assert message in command.fails("--pipelines", "encoding_joint", cluster="theirs")
        if options[-1] == "1":
            command.describe("theirs", described)
            command.succeeds("--pipelines", "encoding_joint", cluster="theirs")
        assert [process.poll() for process in started] == [None, None]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)
