"""The benchmarks still run, and what they compare is the same fit."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(path.name for path in BENCHMARKS.glob("*.py")))
def test_what_a_benchmark_imports_is_there(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend(BENCHMARKS)
    try:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    except SystemExit as ended:
        assert ended.code == 0  # noqa: PT017 - one of them is imported only, and does not end so


@cache
def contend(contender, **options):
    """The history of one contender of the fitting benchmark, in a process of its own as there."""
    command = [sys.executable, BENCHMARKS / "fitting.py", "--one", "--geometries", "tiny", "--threads", "1"]
    command += ["--contenders", contender, "--epochs", "3", "--options", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["history"]


def column(history, name):
    return [epoch[name] for epoch in history]


@pytest.mark.slow
def test_the_published_protocol_is_the_plain_transcription():
    """Same losses and same scores, epoch for epoch, dropout and order of batches included."""
    plain, ours = contend("plain"), contend("published")
    assert column(ours, "loss") == pytest.approx(column(plain, "loss"), rel=1e-4)
    assert column(ours, "holdout_median_r") == pytest.approx(column(plain, "holdout_median_r"), abs=0.01)
    revised = contend("revised")
    assert column(revised, "loss") != pytest.approx(column(plain, "loss"), rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_trunk_fits_as_well():
    """Its dropout draws other numbers: losses are near, not equal."""
    eager, compiled = contend("revised"), contend("revised", compiled=True)
    assert column(compiled, "loss") == pytest.approx(column(eager, "loss"), rel=0.05)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="files are taken out of Linux's cache")
def test_preparing_images_is_measured(tmp_path):
    command = [sys.executable, BENCHMARKS / "preparation.py", "--folder", tmp_path, "--only", "images"]
    command += ["--images", "20", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("Pillow") == 2
    assert not list(tmp_path.iterdir())
