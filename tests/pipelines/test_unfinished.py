"""`--env nsd` draws its seed: all fits of a run have the same one, and a killed run goes on with it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gnet.fitting import models

ROOT = Path(__file__).resolve().parents[2]
AREAS = ("V1", "V2", "V3", "hV4")
EPOCHS = 12


@pytest.fixture(scope="module")
def ready(release_at, tmp_path_factory):
    """The configuration of the real release with the sizes of the tiny one, data ready to fit."""
    project = release_at(tmp_path_factory.mktemp("ready"))
    project.run("data_engineering", "masks")
    return project


@pytest.fixture
def project(ready, tmp_path):
    shutil.copytree(ready.data, tmp_path / "data")
    return replace(ready, data=tmp_path / "data")


def seed_of(project, model):
    return project.load(model).configuration["seed"]


def kept(project):
    """The seeds that lie beside unfinished states."""
    files = (project.data / "06_models" / "unfinished").glob("*.seed.json")
    return {path.name.removesuffix(".seed.json"): json.loads(path.read_text())["seed"] for path in files}


def weights(project):
    return {name: value.numpy() for name, value in project.load("gnet8j").network.state_dict().items()}


def test_a_killed_run_goes_on_with_its_seed_to_the_same_bits(project, tmp_path):
    shutil.copytree(project.data, tmp_path / "other")
    command = [*(sys.executable, "-m", "kedro", "run", "--env", "nsd", "--conf-source", str(project.conf))]
    command += ["--pipelines", "encoding_joint", "--params", f"fitting.epochs={EPOCHS}"]
    state = project.data / "06_models" / "unfinished" / "gnet8j.pt"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **project.variables, "GNET_DATA": str(project.data)},
        stdout=subprocess.DEVNULL,
    ) as process:
        while not state.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    seed = kept(project)["gnet8j"]
    run = project.run("encoding_joint", fitting={"epochs": EPOCHS})
    assert f"Seed of this run: {seed}, that of unfinished fits." in run.log
    assert f"{state}: resuming after epoch " in run.log
    assert seed_of(project, "gnet8j") == seed
    assert kept(project) == {}
    assert not state.exists()
    uninterrupted = replace(project, data=tmp_path / "other")
    run = uninterrupted.run("encoding_joint", fitting={"epochs": EPOCHS, "seed": seed})
    assert "resuming" not in run.log
    expected = weights(uninterrupted)
    for name, value in weights(project).items():
        np.testing.assert_array_equal(value, expected[name])


def test_all_fits_of_a_run_share_the_seed_those_of_its_prerequisites_too(project):
    run = project.run("transfer", only=["V1.transfer", "V2.transfer"])
    seeds = {seed_of(project, f"{area}.{kind}") for area in AREAS[:2] for kind in ("gnet8r", "transfer")}
    assert len(seeds) == 1
    assert run.log.count(f"Seed of this run: {seeds.pop()}, drawn, since fitting.seed is null.") == 2
    assert kept(project) == {}
    project.run("encoding_joint")
    assert seed_of(project, "gnet8j") != seed_of(project, "V1.gnet8r")


def test_a_run_that_failed_in_its_prerequisites_takes_up_their_seed(project, monkeypatch):
    calls = []

    def fit(*arguments, **options):
        calls.append(options["seed"])
        if len(calls) == 2:
            raise RuntimeError("the power is gone")
        return whole(*arguments, **options)

    whole = models.fit_network
    monkeypatch.setattr(models, "fit_network", fit)
    outputs = ["V1.transfer", "V2.transfer"]
    with pytest.raises(RuntimeError, match="power"):
        project.run("transfer", only=outputs)
    assert kept(project) == dict.fromkeys(["V1.gnet8r", "V2.gnet8r", *outputs], calls[0])
    project.run("transfer", only=outputs)
    assert len(calls) > 4
    assert set(calls) == {calls[0]}
    assert kept(project) == {}


def test_another_seed_that_is_given_starts_afresh_and_says_so(project, monkeypatch):
    def fit(*arguments, **options):
        whole(*arguments, **options)
        raise RuntimeError("the power is gone")

    whole = models.fit_network
    monkeypatch.setattr(models, "fit_network", fit)
    with pytest.raises(RuntimeError, match="power"):
        project.run("encoding_joint")
    monkeypatch.undo()
    seed = kept(project)["gnet8j"]
    run = project.run("encoding_joint", fitting={"seed": 5})
    assert f"Unfinished fits have seed {seed}, this run has 5: starting afresh." in run.log
    assert "of a fit with other parameters or data. Starting afresh" in run.log
    assert seed_of(project, "gnet8j") == 5
    assert kept(project) == {}


@pytest.mark.parametrize("written", ["", "[1]", "null", '{"seed": "x"}'])
def test_a_seed_that_cannot_be_read_is_drawn_again(project, written):
    path = project.data / "06_models" / "unfinished" / "gnet8j.seed.json"
    path.parent.mkdir(parents=True)
    path.write_text(written)
    run = project.run("encoding_joint")
    assert f"{path}: expected the seed of an unfinished run, found something else. Ignoring it." in run.log
    assert "drawn, since fitting.seed is null" in run.log


def test_the_state_of_a_fit_is_no_parameter(project):
    message, _ = project.refused("encoding_joint", fitting={"state": "/tmp/elsewhere.pt"})
    assert "fitting': state: expected one of" in message
