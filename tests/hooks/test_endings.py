"""What a user sees when a run ends badly, and what hooks are made of; runs are in tests/pipelines."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from kedro.io.core import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from gnet.errors import DeviceError, ReleaseError
from gnet.hooks import endings
from gnet.hooks.endings import explain

ROOT = Path(__file__).resolve().parents[2]


def caught(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("expected an error")


class Otherwise:
    def __init__(self):
        self.errors = []

    def __call__(self, kind, error, traceback):
        self.errors.append(error)


def wrapped():
    try:
        raise ReleaseError("subj01: expected 3 sessions, found 2.")
    except ReleaseError as error:
        raise DatasetError("Failed while loading") from error


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (wrapped, "\nReleaseError: subj01: expected 3 sessions, found 2.\n"),
        (lambda: (_ for _ in ()).throw(DeviceError("no cuda")), "\nDeviceError: no cuda\n"),
        (
            lambda: (_ for _ in ()).throw(ParameterValidationError(["images: 3 is too small"])),
            "\nParameterValidationError: ",
        ),
        (
            lambda: (_ for _ in ()).throw(PermissionError(errno.EACCES, "denied", "data/betas.h5")),
            "\nStorageError: data/betas.h5: expected permission to read and write there, found none. Ask ",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_message(function, expected, capsys, monkeypatch):
    monkeypatch.delenv("GNET_TRACEBACK", raising=False)
    error, otherwise = caught(function), Otherwise()
    explain(otherwise, type(error), error, error.__traceback__)
    assert capsys.readouterr().err.startswith(expected)
    assert otherwise.errors == []


@pytest.mark.parametrize("error", [KeyError("betas"), DatasetError("disk full"), KeyboardInterrupt()])
def test_a_bug_keeps_its_traceback(error, capsys):
    otherwise = Otherwise()
    explain(otherwise, type(error), error, None)
    assert otherwise.errors == [error]
    assert capsys.readouterr().err == ""


def test_everything_keeps_its_traceback_on_demand(capsys, monkeypatch):
    monkeypatch.setenv("GNET_TRACEBACK", "1")
    error, otherwise = caught(wrapped), Otherwise()
    explain(otherwise, type(error), error, error.__traceback__)
    assert otherwise.errors == [error]
    assert capsys.readouterr().err == ""


def kedro(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=ROOT,
        env={**os.environ, "NSD_ROOT": "", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_prints_the_message_and_fails(tmp_path):
    done = kedro("run", "--env", "nsd", "--pipelines", "encoding_roi", GNET_DATA=str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ReleaseError: the folder of the NSD release is not set. Set the environment variable NSD_ROOT to "
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


def test_the_command_line_shows_where_a_bug_is(tmp_path):
    """A file that another program has damaged is not among what we foresee."""
    path = tmp_path / "data" / "02_intermediate" / "inventory.csv"
    path.parent.mkdir(parents=True)
    path.write_text("subject,session\nsubj01,1\n")
    done = kedro("run", "--env", "tiny", "--pipelines", "masks", GNET_DATA=str(tmp_path / "data"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'problem'" in done.stderr


@pytest.fixture
def _signals():
    """Signals do what they did, afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_in_good_order(number, code, monkeypatch):
    last = []
    monkeypatch.setattr(endings.atexit, "register", lambda *words, **_: last.append(words[1]))
    with click.Context(click.Command("run")):
        endings.Interruptions().before_pipeline_run()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(number)
    assert ended.value.code == code
    assert "Interrupted. What is finished is kept: the same command, given again, goes on" in last[0]
    assert signal.getsignal(number) is signal.SIG_DFL  # the second one ends it at once


@pytest.mark.usefixtures("_signals")
def test_signals_that_are_ignored_and_those_of_a_notebook_stay_what_they_are():
    endings.Interruptions().before_pipeline_run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with click.Context(click.Command("run")):
        endings.Interruptions().before_pipeline_run()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
