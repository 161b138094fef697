"""Starting the workers of a cluster, and connecting to them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster, WorkerPlugin
from distributed.security import Security
from distributed.worker import Worker

from gnet.cluster.sections import Cards, Local, Running, Section, Slurm
from gnet.errors import ClusterError

log = logging.getLogger(__name__)
logging.getLogger("distributed").setLevel(logging.CRITICAL)  # workers come and go; importing it set INFO

MINUTE = 60
LOST_WORKERS = 20
"""That one node may have, before something else must be wrong."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Project(WorkerPlugin):
    """Makes every worker, also those that come later, a process of this project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, worker: Worker) -> None:
        """Work in the project's folder, with its pipelines, and leave the log to the process of the run."""
        from kedro.framework.startup import bootstrap_project

        os.chdir(self.folder)
        bootstrap_project(self.folder)
        for name in (None, "gnet", "kedro"):
            logging.getLogger(name).handlers.clear()
        for name in ("gnet", "kedro"):
            logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def connected(section: Section, name: str, project: Path, folder: Path) -> Iterator[Client]:
    """A client of a cluster, once a worker is there. What was started for it ends with it.

    `folder`, on the shared disk, takes what jobs print and the keys of encrypted connections.

    Raises ClusterError if the cluster cannot be started or reached, a worker runs several nodes at a time, or
    none has a GPU although the section says so.
    """
    configuration = {
        # a fit whose job ran out of time goes on in the next, from its last epoch
        "distributed.scheduler.allowed-failures": LOST_WORKERS,
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, section.threads),
    }
    with ExitStack() as stack, dask.config.set(configuration):
        if isinstance(section, Running):
            client = stack.enter_context(joined(section, name))
        else:
            cluster = on_slurm(section, name, folder) if isinstance(section, Slurm) else here(section)
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        wait_for_a_worker(client, name, folder)
        check_workers(client, name, section)
        client.register_plugin(Project(project))
        for logger in ("gnet", "kedro.pipeline.node"):
            client.forward_logging(logger)
        yield client


def here(section: Local | Cards) -> SpecCluster:
    """Workers on this machine, each with a card of its own if the section names cards."""
    security = Security.temporary()  # whoever reaches the port of a worker could run code in it
    common = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    options = {
        **common,
        "nthreads": 1,
        "memory_limit": 0,  # the machine's own limit rules: memory-mapped images would count
        "resources": {"GPU": 1} if section.gpu else None,
        "silence_logs": logging.CRITICAL,
    }
    workers = {
        number: {"cls": Nanny, "options": {**options, "env": environment}}
        for number, environment in enumerate(section.environments())
    }
    scheduler = {"cls": Scheduler, "options": {**common, "dashboard_address": "127.0.0.1:0"}}
    return SpecCluster(workers, scheduler, security=security)


def on_slurm(section: Slurm, name: str, folder: Path) -> SpecCluster:
    """Jobs of Slurm. Those that end before the run does, such as those out of time, are replaced.

    Raises ClusterError if this machine has no `sbatch`, or it refuses the options.
    """
    if shutil.which("sbatch") is None:
        raise ClusterError(
            f"cluster {name}: expected Slurm's command sbatch on this machine, found none. Start the run on "
            "a login node, or in a job."
        )
    handler = signal.getsignal(signal.SIGINT)
    from dask_jobqueue import SLURMCluster  # 0.9 takes Ctrl-C for itself when it is imported

    signal.signal(signal.SIGINT, handler)
    folder.mkdir(parents=True, exist_ok=True)
    inherited = dask.config.serialize({"distributed": dask.config.get("distributed")})
    cluster = SLURMCluster(
        cores=1,
        processes=1,
        memory="1GB",  # not said to Slurm, nor to the worker
        job_name="gnet",
        job_directives_skip=["--cpus-per-task", "--mem", "-t "],
        job_extra_directives=section.options(),
        job_script_prologue=[f"export DASK_INTERNAL_INHERIT_CONFIG={inherited}", *section.prologue],
        worker_extra_args=["--memory-limit", "0", *(["--resources", "GPU=1"] if section.gpu else [])],
        death_timeout=5 * MINUTE,  # the imports of fifty workers on a slow disk
        interface=section.interface,
        python=section.python,
        log_directory=str(folder),
        shared_temp_directory=str(folder),
        security=True,
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )
    tested = subprocess.run(
        ["sbatch", "--test-only"], input=cluster.job_script(), capture_output=True, text=True, check=False
    )
    if tested.returncode:
        cluster.close()
        raise ClusterError(
            f"cluster {name}: expected options that sbatch accepts, it says: {tested.stderr.strip()}. "
            "Correct them under sbatch in cluster.yml."
        )
    cluster.adapt(minimum_jobs=section.jobs, maximum_jobs=section.jobs)
    return cluster


def joined(section: Running, name: str) -> Client:
    """A client of a cluster that somebody else has started, and ends; ClusterError if there is none."""
    file = Path(section.scheduler_file)
    if file.is_file():
        with contextlib.suppress(OSError):  # nobody answers, among others
            return Client(scheduler_file=str(file), timeout=MINUTE)
    raise ClusterError(
        f"cluster {name}: expected a Dask scheduler that answers, as {file} says, found "
        f"{'none' if file.is_file() else 'no such file'}. Start one: dask scheduler --scheduler-file {file}"
    )


def wait_for_a_worker(client: Client, name: str, folder: Path) -> None:
    """Wait for the first worker, and say so each minute."""
    while True:
        try:
            client.wait_for_workers(1, timeout=MINUTE)
            return
        except TimeoutError:
            log.info("Cluster %s: no worker yet. Jobs print to %s; squeue --me lists them.", name, folder)


def check_workers(client: Client, name: str, section: Section) -> None:
    """Raise ClusterError for a worker that runs several nodes at a time, or if none has a promised GPU."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    threads = max(worker["nthreads"] for worker in workers.values())
    if threads > 1:
        raise ClusterError(
            f"cluster {name}: expected workers that run one node at a time, since random seeds belong to a "
            f"process, found one with {threads} threads. Start them with --nthreads 1."
        )
    if section.gpu and not any(worker["resources"].get("GPU") for worker in workers.values()):
        raise ClusterError(
            f"cluster {name}: expected workers that offer a GPU, since gpu is true, found none among "
            f'{len(workers)}. Start them with --resources "GPU=1", or set gpu to false in cluster.yml.'
        )
