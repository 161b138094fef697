"""Fixtures shared by every test."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Test processes share the cores; threads of each on all of them would slow all of them ten-fold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest first, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of recorded outputs of the published implementation (`GNET_REFERENCE`, or tests/golden)."""
    return Path(os.environ.get("GNET_REFERENCE", ROOT / "tests" / "golden"))


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory, worker_id) -> Path:
    """Data folder of a `kedro run` of everything on the tiny release. Not to be written to.

    It is made once for all test processes. What it printed is beside the folder, in `printed.txt`.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "whole"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "printed.txt").exists():
            done = subprocess.run(
                [sys.executable, "-m", "kedro", "run", "--env", "tiny"],
                cwd=ROOT,
                env=os.environ | {"GNET_DATA": str(folder / "data"), "NSD_ROOT": "", "COLUMNS": "400"},
                capture_output=True,
                text=True,
                check=True,
            )
            (folder / "printed.txt").write_text(done.stdout)
    return folder / "data"


class BlocksOf:
    """Makes Blocks over an array, and counts those that the last of them has handed out."""

    handed_out = 0

    def __call__(self, array, lengths, *, fail_after=None, shape=None, dtype=None):
        from gnet.storage.blocks import Blocks  # not at the top: jaxtyping's import hook comes later

        def make():
            self.handed_out = start = 0
            for length in lengths:
                if self.handed_out == fail_after:
                    raise RuntimeError("the stimuli are gone")
                self.handed_out += 1
                yield np.array(array[start : start + length])
                start += length

        return Blocks(shape or array.shape, np.dtype(dtype or array.dtype), make)


@pytest.fixture
def blocks() -> BlocksOf:
    """Make Blocks: blocks(array, lengths, fail_after=number of blocks); promise another shape or dtype."""
    return BlocksOf()
