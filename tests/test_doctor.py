"""`gnet doctor` says what is there and what is not, and nothing private."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import gnet
from gnet import doctor
from gnet.__main__ import main
from gnet.hooks.runs import announce
from gnet.models.checkpoints import save_models
from gnet.models.interchange.reading import import_checkpoints

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def report(tmp_path, monkeypatch):
    """The report on a home folder with the data in it, as a dictionary, and as it is printed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GNET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NSD_ROOT", "")
    monkeypatch.chdir(ROOT)

    def report(env="tiny"):
        done = CliRunner().invoke(main, ["doctor", "--env", env])
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        entries = [line.strip().split(maxsplit=1) for line in lines if line.startswith("  ")]
        return {entry[0]: entry[1].strip() for entry in entries}, done.output

    return report


def test_an_empty_house(report):
    found, text = report()
    assert text.startswith("```text\ngnet doctor, ")
    assert text.endswith("\n```\n")
    assert found["gnet"].startswith(gnet.__version__)
    assert found["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert found["torch"].startswith("2.13.0")
    assert found["environment"] == "tiny"
    assert found["protocol"] == "published"
    assert found["areas"] == "V1, V2, V3, hV4"
    assert found["folder"].startswith("~/data (not there yet): ")
    assert found["release"].startswith("not there (~/data/01_raw/nsd: expected the folder of an NSD release")
    assert found["inventory"] == found["gnet8j"] == found["V1.gnet8r"] == "not there"


def test_a_house_with_a_model(report, tmp_path, reference):
    [model] = import_checkpoints([reference / "model_params_gnet8j.pt"])
    versions = tmp_path / "data" / "06_models" / "gnet8j.h5"
    for version in ("2026-01-01", "2026-01-02"):
        (versions / version).mkdir(parents=True)
        save_models([model], versions / version / "gnet8j.h5")
    os.utime(versions / "2026-01-02" / "gnet8j.h5", (time.time() - 86_400 * 3,) * 2)
    damaged = versions.with_name("V1.gnet8r.h5") / "2026-01-01" / "V1.gnet8r.h5"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("half")
    unfinished = versions.parent / "unfinished" / "V2.gnet8r.pt"
    unfinished.parent.mkdir()
    unfinished.write_bytes(bytes(1_500_000))
    inventory = tmp_path / "data" / "02_intermediate" / "inventory.csv"
    inventory.parent.mkdir()
    inventory.write_text("subject,problem\nsubj01,\nsubj02,missing\n")
    (tmp_path / "data" / "01_raw" / "nsd" / "nsddata").mkdir(parents=True)
    found, _ = report()
    assert found["gnet8j"].startswith("2 versions, newest 2026-01-02, gnet-model, ")
    assert found["gnet8j"].endswith(" MB, 3 days old")
    assert found["V1.gnet8r"].startswith("not there (")
    assert found["unfinished"].startswith("V2.gnet8r, 1.5 MB, ")
    assert found["inventory"].startswith("2 files, 1 with a problem, ")
    assert found["release"] == "downloaded, ~/data/01_raw/nsd"


def test_the_real_release_is_missed(report):
    found, _ = report("nsd")
    assert found["release"].startswith("not there (the folder of the NSD release is not set)")


def test_an_environment_that_is_not_there(report):
    found, _ = report("mars")
    assert found["python"]
    assert found["areas"]  # those of base


def test_outside_of_the_project(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = doctor.report()
    assert "python" in text
    assert (
        "  project                not there (~ is in no Kedro project; call from the folder of yours)" in text
    )
    assert text.count("is in no Kedro project") > 5


def test_runs_at_work_are_shown_without_their_being_disturbed(report, tmp_path):
    code = "import sys; from pathlib import Path; from gnet.hooks.runs import announce\n"
    code += f"announced = announce(Path({str(tmp_path / 'data')!r}), set(), {{'betas'}})\n"
    code += "print('at work', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "at work\n"
        for _ in range(2):
            assert report()[0]["runs"].split()[2:4] == ["process", str(other.pid)]
        other.communicate("")
    assert announce(tmp_path / "data", set(), {"betas"}) is not None


def test_it_is_quick(tmp_path):
    environment = os.environ | {"GNET_DATA": str(tmp_path), "NSD_ROOT": ""}
    before = os.times()
    done = subprocess.run([sys.executable, "-m", "gnet", "doctor"], cwd=ROOT, env=environment, check=False)
    after = os.times()
    assert done.returncode == 0
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 15  # seconds of processor time; 4 on a machine that has nothing else to do
