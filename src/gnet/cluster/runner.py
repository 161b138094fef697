"""Kedro's runner for the workers of a cluster, and the hook that goes with it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node, Pipeline
from kedro.runner import AbstractRunner

from gnet.cluster.sections import Section, section_of
from gnet.errors import ClusterError, DeviceError
from gnet.pipelines.parameters import fitting_of

log = logging.getLogger(__name__)

DEVICE = "device"
"""The tag of nodes that compute on a graphics card where there is one."""


class Clusters:
    """Knows the clusters that `cluster.yml` describes, and the one on which nodes run, if any."""

    runner: DaskRunner | None = None
    section: Section | None = None
    """Where nodes run at the moment; None if in this process."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the configuration and the data are."""
        self.config, self.project = context.config_loader, Path(context.project_path)

    @hook_impl
    def before_node_run(self, node: Node, inputs: Mapping[str, Any]) -> None:
        """Say where a node that needs a device runs; refuse a worker that lacks the GPU it promised."""
        if self.section is None or DEVICE not in node.tags:
            return
        where = f"{os.environ.get('SLURMD_NODENAME') or socket.gethostname()}, process {os.getpid()}"
        cards = os.environ.get("CUDA_VISIBLE_DEVICES")
        log.info("%s: on %s%s.", node.name, where, f", GPU {cards}" if cards else "")
        if self.section.gpu and fitting_of(inputs)[1].device == "auto":
            import torch

            if not torch.cuda.is_available():
                raise DeviceError(
                    f"{node.name}: expected a GPU on {where}, since gpu is true in this cluster's section, "
                    "found none that PyTorch can use. Look at nvidia-smi there, and at the PyTorch that is "
                    "installed. Or run on the CPU: --params fitting.device=cpu"
                )

    def another(self, runner: str) -> DaskRunner | None:
        """A runner like the one that Kedro describes so; None if that runs nodes in this process."""
        at_work = self.runner is not None and str(self.runner) == runner
        return DaskRunner(self.runner.cluster) if at_work else None

    @property
    def folder(self) -> Path:
        """For what jobs print and the keys of encrypted connections: on the shared disk."""
        return self.project / self.config["globals"]["data_root"] / "cluster"


CLUSTERS = Clusters()


class DaskRunner(AbstractRunner):
    """Runs each node on a worker of a cluster, as soon as what it needs is stored.

    Parameters
    ----------
    cluster : str
        Name of a section of `cluster.yml`.
    is_async : bool
        Whether a node's inputs are loaded at the same time (Kedro's `--async`).
    """

    def __init__(self, cluster: str = "local", is_async: bool = False) -> None:
        super().__init__(is_async=is_async)
        self.cluster = cluster
        CLUSTERS.runner = self

    def _get_executor(self, max_workers: int) -> Executor:
        try:
            from gnet.cluster.workers import connected
        except ImportError as error:
            raise ClusterError(
                f"cluster {self.cluster}: expected Dask, found that {error.name} is not installed. "
                'Install it: pip install -e ".[cluster]"'
            ) from error
        section = CLUSTERS.section
        return Workers(connected(section, self.cluster, CLUSTERS.project, CLUSTERS.folder), section.gpu)

    def _run(self, pipeline: Pipeline, catalog: Any, *arguments: Any, **options: Any) -> None:
        unsaved = sorted(n for n in pipeline.all_outputs() if getattr(catalog.get(n), "_EPHEMERAL", False))
        if unsaved:
            raise ClusterError(
                f"{', '.join(unsaved)}: expected datasets that are stored, found that no catalog file names "
                "them. Workers share no memory: add them to the catalog, or run without --runner."
            )
        CLUSTERS.section = section_of(self.cluster, CLUSTERS.config["cluster"])
        try:
            super()._run(pipeline, catalog, *arguments, **options)
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # of Dask, which may not be installed
                raise
            raise ClusterError(
                f"cluster {self.cluster}: expected workers that live through a node, lost "
                f"{error.allowed_failures + 1} at the same one. Their memory may be too small: see what they "
                f"printed in {CLUSTERS.folder}, and ask for more in cluster.yml."
            ) from error
        finally:
            CLUSTERS.section = None


class Workers(Executor):
    """Hands Kedro's tasks to the workers of a cluster; those that need a GPU, to workers with one."""

    def __init__(self, connection: AbstractContextManager[Any], gpu: bool) -> None:
        """`connection` gives a client of Dask; `gpu` says whether there are workers with a GPU."""
        self.gpu, self.open = gpu, ExitStack()
        self.client = self.open.enter_context(connection)

    def submit(self, task: Any) -> Future:
        """Run a task as soon as a worker is free."""
        needs = {"GPU": 1} if self.gpu and DEVICE in task.node.tags else None
        return self.client.get_executor(pure=False, resources=needs).submit(task)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, but for those of a cluster that somebody else has started."""
        self.open.close()
