"""What a user sees when a run ends badly, and what hooks are made of; runs are in tests/pipelines."""

import errno
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import click
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
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


def a_bug_instead_of(error):
    try:
        raise error
    except ReleaseError:
        raise KeyError("betas") from None


def its_own_cause():
    error = OSError(errno.ENOTDIR, "Not a directory")
    raise error from error


@pytest.mark.parametrize("function", [lambda: a_bug_instead_of(ReleaseError("handled")), its_own_cause])
def test_causes_that_are_hidden_or_go_round_in_circles(function, capsys):
    error, otherwise = caught(function), Otherwise()
    explain(otherwise, type(error), error, error.__traceback__)
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


def test_a_misspelt_environment_is_one_line(tmp_path):
    done = kedro("run", "--env", "tny", GNET_DATA=str(tmp_path / "data"))
    assert done.returncode == 1
    said = (
        "ParameterError: environment: expected one of base, local, nsd, tiny, got 'tny'. Did you mean tiny?"
    )
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"node_names": ["nosuch"]}, "ValueError: Pipeline does not contain nodes named ['nosuch']"),
        ({"from_nodes": ["nosuch"]}, "ValueError: Pipeline does not contain nodes named ['nosuch']"),
        ({"tags": ["nosuch"]}, "ValueError: Pipeline contains no nodes after applying all provided filters."),
        ({"to_outputs": ["nosuch"]}, "ValueError: Pipeline does not contain datasets named ['nosuch']"),
        ({"namespaces": ["nosuch"]}, "Pipeline does not contain nodes with the following namespaces: ['nos"),
        ({"load_versions": {"nosuch": "1"}}, "'load_versions' keys [nosuch] are not found in the catalog."),
    ],
)
def test_a_misspelt_option_is_one_message(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GNET_DATA", str(tmp_path / "data"))
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env="tiny") as session:
        error, otherwise = caught(lambda: session.run(**options)), Otherwise()
    explain(otherwise, type(error), error, error.__traceback__)
    assert said in capsys.readouterr().err
    assert otherwise.errors == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "da[t]a",
            "expected a data folder whose name has none of * ? [ { $ in it and is neither ~ nor an ad",
        ),
        (
            "da{t}a",
            "expected a data folder whose name has none of * ? [ { $ in it and is neither ~ nor an ad",
        ),
        (
            "da?ta*",
            "expected a data folder whose name has none of * ? [ { $ in it and is neither ~ nor an ad",
        ),
        (
            "${data}",
            "expected a data folder whose name has none of * ? [ { $ in it and is neither ~ nor an ad",
        ),
        (
            "file",
            "expected a folder, or nothing yet, found: a file. Name another folder in the environment va",
        ),
        (
            "file/below",
            "expected a folder, or nothing yet, found: Not a directory. Name another folder in the",
        ),
        (
            "round",
            "expected a folder, or nothing yet, found: Too many levels of symbolic links. Name another",
        ),
        (
            "a" * 300,
            "expected a folder, or nothing yet, found: File name too long. Name another folder in the",
        ),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_refused_at_once(name, said, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "round").symlink_to("round")
    done = kedro("run", "--env", "tiny", GNET_DATA=str(tmp_path / name))
    assert done.returncode == 1
    assert f"StorageError: {tmp_path / name}: {said}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"file", "round"}


def test_an_address_is_no_data_folder():
    done = kedro("run", "--env", "tiny", GNET_DATA="s3://bucket/gnet")
    assert "is neither ~ nor an address such as s3://, found this one." in done.stderr.splitlines()[-1]


def test_a_terminal_without_some_characters_gets_others(tmp_path):
    """Kedro's log has lines of its own before the first node; a table is printed when all is done."""
    code = (
        "import sys; from gnet.hooks.endings import Errors, Summaries; import pandas as pd\n"
        "from kedro.io import DataCatalog, MemoryDataset; from kedro.pipeline import Node, Pipeline\n"
        "table = pd.DataFrame({name: [0.5] for name in ('area', 'subject', 'voxels', 'excluded', 'median_r', "
        "'r_over_ceiling', 'variance_explained', 'ceiling', 'fev', 'without_fev')})\n"
        "pipeline = Pipeline([Node(lambda: 0, None, 'gnet8j_summary', name='fit')])\n"
        "Errors().after_context_created()\n"
        "Summaries().after_pipeline_run(pipeline, DataCatalog({'gnet8j_summary': MemoryDataset(table)}))\n"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "r/?ceiling" in done.stdout
    full = Path("/dev/full")
    if full.exists():
        with full.open("w") as nowhere:
            done = subprocess.run(
                command, env=environment, stdout=nowhere, stderr=subprocess.PIPE, check=False
            )
        assert b"The results are stored, but could not be printed: " in done.stderr


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


class Held:
    """What a weak reference points to; a signal comes while the callback of the reference is at work."""


@pytest.mark.usefixtures("_signals")
def test_a_signal_that_a_callback_would_swallow_is_answered_after_it(monkeypatch):
    monkeypatch.setattr(endings.atexit, "register", lambda *words, **_: None)
    held, finalised = Held(), []

    def callback():
        signal.raise_signal(signal.SIGINT)
        finalised.append(True)

    weakref.finalize(held, callback)
    with click.Context(click.Command("run")):
        endings.Interruptions().before_pipeline_run()
    with pytest.raises(SystemExit) as ended:  # noqa: PT012 - the signal comes by itself
        del held
        assert finalised
        time.sleep(5)
    assert ended.value.code == 130


@pytest.mark.usefixtures("_signals")
def test_signals_that_are_ignored_and_those_of_a_notebook_stay_what_they_are():
    endings.Interruptions().before_pipeline_run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with click.Context(click.Command("run")):
        endings.Interruptions().before_pipeline_run()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
