"""Runs at the same time on the same data, in processes of their own."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from disks import bound, read_only
from gnet.errors import BusyError, StorageError
from gnet.hooks import runs
from gnet.hooks.runs import announce, at_work, remove_leftovers

FIT = """
import sys, time
from pathlib import Path
from gnet.storage.atomic import atomic_path
from gnet.hooks.runs import announce

announced = announce(Path(sys.argv[1]), {"betas", "images"}, {"gnet8j"})
with atomic_path(Path(sys.argv[1]) / "06_models" / "gnet8j.h5") as part:
    part.write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
announced.withdraw()
"""


@contextmanager
def another_run(folder):
    """One that fits gnet8j and has written half of it; it ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-c", FIT, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def hidden(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("reads", "makes", "conflict"),
    [
        ({"betas"}, {"gnet8j"}, "makes gnet8j"),
        ({"betas", "gnet8j"}, {"tuning"}, "makes gnet8j"),
        (set(), {"betas", "images", "trials"}, "reads betas, images, which this run makes"),
    ],
)
def test_a_run_that_would_meet_another_is_refused(tmp_path, reads, makes, conflict):
    with another_run(tmp_path) as other:
        before = hidden(tmp_path)
        with pytest.raises(BusyError) as refused:
            announce(tmp_path, reads, makes)
        assert hidden(tmp_path) == before
        assert str(refused.value).startswith(
            f"{tmp_path}: expected no other run at what this one reads and makes, found one that {conflict} "
            f"(process {other.pid} on "
        )
        assert "Wait until it has ended, or stop it. Or keep the two apart" in str(refused.value)


def test_the_announcement_of_another_version_of_gnet(tmp_path):
    with another_run(tmp_path):
        [announcement] = tmp_path.glob(".run-*.json")
        written = json.loads(announcement.read_text())
        announcement.write_text(json.dumps(written | {"colour": "red"}))  # the lock is on the file
        with pytest.raises(BusyError, match="makes gnet8j"):
            announce(tmp_path, set(), {"gnet8j"})


def test_no_file_can_be_opened_any_more(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(runs.Path, "open", refuse)
    with pytest.raises(StorageError, match="expected a folder to store data in, found: Too many open files"):
        announce(tmp_path, set(), {"betas"})


def test_a_run_that_meets_no_other_goes_on_beside_it(tmp_path):
    with another_run(tmp_path) as other:
        announced = announce(tmp_path, {"betas", "images"}, {"V1.gnet8r"})
        assert [run.process for run in at_work(tmp_path, announced.path)] == [other.pid]
        announced.withdraw()
        other.communicate("")
    assert hidden(tmp_path) == []
    assert (tmp_path / "06_models" / "gnet8j.h5").read_text() == "half"


def test_a_killed_run_blocks_nobody_and_what_it_left_is_removed(tmp_path, caplog):
    with another_run(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        [part, announcement] = sorted(hidden(tmp_path), key=lambda path: path.suffix, reverse=True)
        assert (part.suffix, announcement.suffix) == (".part", ".json")
        caplog.set_level(logging.INFO, "gnet")
        announced = announce(tmp_path, {"betas"}, {"gnet8j"})
    assert hidden(tmp_path) == [announced.path]
    assert f"{part}: left half-written by a run that was killed. Removing it." in caplog.text
    announced.withdraw()
    assert hidden(tmp_path) == []


def test_what_living_processes_write_is_left_alone(tmp_path):
    with another_run(tmp_path):
        [part] = (tmp_path / "06_models").iterdir()
        (tmp_path / ".notes.part").write_text("of somebody else")
        folder = tmp_path / f".masks.{os.getpid()}.{'0' * 32}.part"
        (folder / "subj01").mkdir(parents=True)
        remove_leftovers(tmp_path)
        assert part.exists()
        assert (tmp_path / ".notes.part").exists()
        assert not folder.exists()


def test_one_process_runs_one_thing_after_the_other(tmp_path):
    first = announce(tmp_path, set(), {"betas"})
    second = announce(tmp_path, {"betas"}, {"gnet8j"})  # the first was interrupted, in a notebook
    assert hidden(tmp_path) == [second.path]
    first.withdraw()
    second.withdraw()
    assert hidden(tmp_path) == []


def test_the_end_of_a_process_ends_its_announcement(tmp_path):
    code = "import sys; from pathlib import Path; from gnet.hooks.runs import announce\n"
    code += "announce(Path(sys.argv[1]), set(), {'betas'}); raise SystemExit(130)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert done.returncode == 130
    assert hidden(tmp_path) == []


def test_a_file_system_without_locks(tmp_path, monkeypatch, caplog):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(runs.fcntl, "lockf", refuse)
    assert announce(tmp_path, set(), {"betas"}) is None
    assert f"{tmp_path}: no locks on this file system. Start no second run" in caplog.text
    monkeypatch.setattr(runs, "fcntl", None)  # Windows
    assert announce(tmp_path, set(), {"betas"}) is None
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("disk", "local"),
    [
        ("lustre rw,localflock", True),
        ("lustre rw,flock", False),
        ("nfs4 rw,localflock", False),
        ("ext4 rw,relatime", False),
    ],
)
def test_lustre_without_common_locks(tmp_path, monkeypatch, caplog, disk, local):
    folder = tmp_path / "large disk"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    point = str(folder).replace(" ", "\\040")
    mounts.write_text(f"server / lustre rw,localflock 0 0\nserver {point} {disk} 0 0\n")
    monkeypatch.setattr(runs, "MOUNTS", mounts)
    announced = announce(folder / "data", set(), {"betas"})
    assert (announced is None) == local == ("Start no second run" in caplog.text)
    if announced:
        announced.withdraw()


def test_a_folder_that_can_only_be_read(tmp_path):
    with (
        read_only(tmp_path),
        pytest.raises(StorageError, match="expected a disk that can be written to, found a read-only one"),
    ):
        announce(tmp_path, set(), {"betas"})


def test_a_folder_of_somebody_else(tmp_path):
    code = "import sys; from pathlib import Path; from gnet.hooks.runs import announce\n"
    code += "announce(Path(sys.argv[1]), set(), {'betas'})"
    tmp_path.chmod(0o555)
    done = subprocess.run(
        [*bound(), sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    tmp_path.chmod(0o755)
    assert f"StorageError: {tmp_path}/.run-" in done.stderr
    assert "expected permission to read and write there, found none. Ask its owner" in done.stderr
