"""h5py survives a disk that fails, and Ctrl-C; each in a process of its own, for what HDF5 does otherwise."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from disks import small_disk
from gnet.storage.steady_file import SteadyFile

WRITE = """
import resource, sys
import h5py, numpy as np
from gnet.storage.steady_file import SteadyFile

path, many, limits = sys.argv[1], sys.argv[2] == "many", map(int, sys.argv[3:])
random = np.random.default_rng(0)
for limit in limits:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with SteadyFile(path) as steady, h5py.File(steady, "w", track_order=True) as file:
            if many:
                for number in range(100):
                    group = file.create_group(str(number), track_order=True)
                    group["r"] = random.random(1000)
                    group["label"] = np.array(["V1v"] * 50, object)
                    group.attrs["subject"] = "subj01"
            else:
                array = file.create_dataset("betas", (100, 5000), "f4", chunks=(5, 5000))
                for row in range(0, 100, 10):
                    array[row : row + 10] = random.random((10, 5000))
                    steady.check()
        print("whole")
    except OSError as error:
        print(error.errno)
"""


def write(path, what, *limits):
    done = subprocess.run(
        [sys.executable, "-c", WRITE, path, what, *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("what", ["many", "chunks"])
def test_a_limit_on_the_size_of_files(tmp_path, what):
    assert write(tmp_path / "a.h5", what, 0) == ["whole"]
    size = (tmp_path / "a.h5").stat().st_size
    limits = [1, 5_000, *range(10_000, size, size // 20), size - 1]
    *found, last = write(tmp_path / "a.h5", what, *limits, size)
    assert (set(found), last) == ({str(errno.EFBIG)}, "whole")


@pytest.mark.parametrize("what", ["many", "chunks"])
def test_a_full_disk(tmp_path, what):
    with small_disk(tmp_path / "disk", 500_000) as disk:
        (disk / "other").write_bytes(bytes(150_000))
        assert write(disk / "a.h5", what, 0) == [str(errno.ENOSPC)]


def test_the_first_failure_is_told_and_nothing_more_is_written():
    """/dev/full accepts no byte; HDF5 itself finds nothing wrong."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    steady = SteadyFile("/dev/full")
    assert steady.write(b"betas") == 5
    assert steady.truncate(3) == 3
    with pytest.raises(OSError, match="No space left") as failure:
        steady.check()
    assert failure.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        steady.close()
    assert steady.closed


def test_a_failure_of_the_disk_is_told_rather_than_what_hdf5_made_of_it(tmp_path):
    steady = SteadyFile(tmp_path / "a.h5")
    steady._failure = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"), steady, h5py.File(steady, "w"):
        raise RuntimeError("what HDF5 made of it")


def test_a_signal_within_hdf5_waits_for_the_next_check(tmp_path, monkeypatch):
    def interrupted(self, data, write=SteadyFile.write):
        signal.raise_signal(signal.SIGINT)
        return write(self, data)

    monkeypatch.setattr(SteadyFile, "write", interrupted)
    written = []

    def work():
        with SteadyFile(tmp_path / "a.h5") as steady, h5py.File(steady, "w") as file:
            for name in ("V1", "V2", "V3"):
                file[name] = np.zeros(100_000)
                written.append(name)
                steady.check()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert written == ["V1"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_elsewhere_acts_at_once(tmp_path):
    def work():
        with SteadyFile(tmp_path / "a.h5"):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("expected an interrupt")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


INTERRUPT = """
import os, signal, sys, threading, time
import h5py, numpy as np
from gnet.storage.steady_file import SteadyFile

array, delays = np.zeros((200, 4000), "f4"), np.random.default_rng(0).uniform(0.001, 0.03, 40)

def work():
    while True:
        with SteadyFile(sys.argv[1]) as steady, h5py.File(steady, "w") as file:
            chunked = file.create_dataset("x", array.shape, "f4", chunks=(5, 4000))
            for row in range(0, 200, 20):
                chunked[row : row + 20] = array[row : row + 20]
                steady.check()
            for number in range(50):
                file[str(number)] = array[0]
                steady.check()

def interrupt(delay):
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGINT)

count = 0
for delay in delays:
    try:
        threading.Thread(target=interrupt, args=(delay,)).start()
        work()
    except KeyboardInterrupt:
        count += 1
print(count)
"""


def test_no_ctrl_c_is_lost_or_crashes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT, tmp_path / "a.h5"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "40\n", "")
