"""Runs on a cluster as a user starts them, each with a data folder and a configuration of its own."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
RUNNER = "gnet.cluster.DaskRunner"
VERSION = re.compile(r"\d{4}-\d\d-\d\dT[\d.]+Z")
PLACE = re.compile(r"(\S+): on (\S+), process (\d+)(?:, GPU (\S+))?\.")


class Command:
    """`kedro run` on a cluster. `log` is all that the last one printed."""

    def __init__(self, folder: Path, env: str = "tiny") -> None:
        self.env = env
        self.data, self.conf, self.log = folder / "data", folder / "conf", ""
        self.environment = os.environ | {
            "GNET_DATA": str(self.data), "NSD_ROOT": "", "COLUMNS": "400", "OMP_NUM_THREADS": "1"
        }  # fmt: skip
        shutil.copytree(ROOT / "conf", self.conf)

    def describe(self, name, section):
        """Add a cluster to the configuration, or replace it."""
        path = self.conf / self.env / "cluster.yml"
        described = yaml.safe_load(path.read_text()) if path.exists() else {}
        path.write_text(yaml.safe_dump(described | {name: section}))

    def rewrite(self, file, old, new):
        """Replace a text in a file of the base configuration."""
        path = self.conf / "base" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def start(self, *arguments, cluster=None, **options):
        """The running process; its output goes to a file."""
        runner = ["--runner", RUNNER, "--runner-params", f"cluster={cluster}"] if cluster else []
        command = [sys.executable, "-m", "kedro", "run", "--env", self.env, "--conf-source", str(self.conf)]
        self.output = self.conf / "output.txt"
        with self.output.open("w") as file:
            return subprocess.Popen(
                [*command, *runner, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                **options,
            )

    def ended(self, process, seconds=300):
        """The exit code of a process, when it has ended."""
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
            self.log = self.output.read_text()
        return code

    def succeeds(self, *arguments, cluster=None):
        """Run to the end; what was printed."""
        code = self.ended(self.start(*arguments, cluster=cluster))
        assert code == 0, self.log
        return self.log

    def fails(self, *arguments, cluster=None):
        """Run to an error; its message, which must be the one thing that is said of it."""
        code = self.ended(self.start(*arguments, cluster=cluster))
        assert code == 1, self.log
        assert "Traceback" not in self.log
        [message] = re.findall(r"^\w+Error: .*", self.log, re.MULTILINE | re.DOTALL)
        return message.rstrip("\n")

    def states(self):
        """The states of unfinished fits."""
        return sorted((self.data / "06_models" / "unfinished").glob("*.pt"))


def places(log):
    """Of each node that needed a device: the machine, the process and the card that it saw."""
    return {node: (machine, process, card) for node, machine, process, card in PLACE.findall(log)}


def wait_until(condition, seconds=60.0, every=0.02):
    """Wait for a condition, and fail if it does not come true in time; what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every)
    return found


def files(folder):
    """All files of a data folder, by their names without versions."""
    found = (path for path in folder.rglob("*") if path.is_file() and "cluster" not in path.parts)
    return {VERSION.sub("VERSION", path.relative_to(folder).as_posix()): path for path in found}


def assert_same(one: Path, other: Path, names=None) -> list[str]:
    """The files of two data folders are the same, and what is in them but for seconds and versions.

    With `names`, only those of the first folder whose names it takes. Gives the names.
    """
    left, right = files(one), files(other)
    if names:
        left = {name: path for name, path in left.items() if names(name)}
    else:
        assert left.keys() == right.keys()
    for name, path in left.items():
        if name.endswith((".h5", ".hdf5")):
            assert_same_arrays(path, right[name])
        elif name.endswith(".csv"):
            assert_same_tables(
                *(read_csv(file, folder) for file, folder in ((path, one), (right[name], other)))
            )
        elif name.endswith(".parquet"):
            assert_same_tables(pd.read_parquet(path), pd.read_parquet(right[name]))
        elif name.endswith((".npy", ".png")):
            assert path.read_bytes() == right[name].read_bytes(), name
    return sorted(left)


def read_csv(path: Path, folder: Path) -> pd.DataFrame:
    """A table in which the folder has another name."""
    return pd.read_csv(io.StringIO(path.read_text().replace(str(folder), "DATA")))


def assert_same_tables(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Two tables are the same, but for the seconds that fits took."""
    left, right = (table.drop(columns="seconds", errors="ignore") for table in (one, other))
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def assert_same_arrays(one: Path, other: Path) -> None:
    """Two HDF5 files hold the same, but for the seconds that fits took."""
    with h5py.File(one) as left, h5py.File(other) as right:
        names: list[str] = []
        left.visit(names.append)
        found: list[str] = []
        right.visit(found.append)
        assert names == found
        for name in names:
            if isinstance(left[name], h5py.Dataset) and not name.endswith("seconds"):
                np.testing.assert_array_equal(left[name][()], right[name][()], err_msg=f"{one}: {name}")


def seed_of(model):
    """The seed that a model file gives."""
    with h5py.File(model) as file:
        return json.loads(file.attrs["configuration"])["seed"]
