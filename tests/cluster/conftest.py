"""A Slurm of two nodes on this machine, each with one stand-in graphics card."""

import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from cluster_runs import wait_until

PORTS = (16817, 17001, 17002)


def kill(path: Path) -> None:
    """End the process whose number a file holds."""
    if path.exists():
        try:
            os.kill(int(path.read_text()), signal.SIGTERM)
        except ProcessLookupError:
            path.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Path]:
    """The folder of Slurm's configuration; the environment is such that its commands find it."""
    if not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))) or os.geteuid():
        pytest.skip("needs root and Debian's packages slurm-wlm and munge")
    with started(tmp_path_factory.mktemp("slurm")) as folder:
        yield folder


@contextmanager
def started(folder: Path) -> Iterator[Path]:
    """Slurm, with its configuration and its logs in a folder."""
    for name in ("spool-n1", "spool-n2", "state"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    nodes = "\n".join(
        f"NodeName=n{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORTS[n]} CPUs=2 RealMemory=4000 "
        "Gres=gpu:1"
        for n in (1, 2)
    )
    (folder / "slurm.conf").write_text(f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={PORTS[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")
    cards = []
    for n in (1, 2):
        card = folder / f"card{n}"  # must be a device: these are others like /dev/null
        try:
            os.mknod(card, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("needs the permission to make devices, which some containers lack")
        cards.append(f"NodeName=n{n} Name=gpu File={card}")
    (folder / "gres.conf").write_text("\n".join(cards) + "\n")
    munge = Path("/run/munge")
    munge.mkdir(exist_ok=True)
    shutil.chown(munge, "munge", "munge")
    own = subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode != 0
    with mock.patch.dict(os.environ, {"SLURM_CONF": str(folder / "slurm.conf")}):
        try:
            if own:
                # By force: a socket may be left from a munged that was killed.
                subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True)
            subprocess.run(["slurmctld", "-c"], check=True)
            for n in (1, 2):
                subprocess.run(["slurmd", "-N", f"n{n}"], check=True)
            wait_until(lambda: said("sinfo", "-h", "-t", "idle", "-o", "%D").split() == ["2"])
            yield folder
        finally:
            for path in folder.glob("*.pid"):
                kill(path)
            if own:
                kill(munge / "munged.pid")


def said(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def queue() -> list[str]:
    """The numbers of all jobs that wait or run."""
    return said("squeue", "-h", "-o", "%i").split()
