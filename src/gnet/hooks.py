"""What happens around a run: its areas, its prerequisites, its summary."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

import pandas as pd
import rich
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import PACKAGE_NAME, pipelines
from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.validation.exceptions import ParameterValidationError
from rich.console import Console
from rich.table import Table

from gnet import pipeline_registry
from gnet.errors import GNetError

log = logging.getLogger(__name__)


class Errors:
    """What a user can mend is said in one message, without the trail of calls that led to it."""

    @hook_impl
    def after_context_created(self) -> None:
        """From now on, `explain` has the last word on an error that ends the program."""
        if not isinstance(sys.excepthook, partial):
            sys.excepthook = partial(explain, sys.excepthook)


def explain(
    otherwise: Callable[..., None],
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    """Print one of our own errors, or of the checked parameters, by its message; leave others as they were.

    With GNET_TRACEBACK=1 in the environment everything is left as it was.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (GNetError, ParameterValidationError)):
        cause = cause.__cause__ or cause.__context__
    if cause is None or os.environ.get("GNET_TRACEBACK"):
        otherwise(kind, error, traceback)
    else:
        print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)


class Areas:
    """One model per configured area: pipelines are built from the names under `areas` in the parameters."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Hand the names to the registry; build the pipelines anew where they differ."""
        names = tuple(context.config_loader["parameters"].get("areas", ()))
        if pipeline_registry.use_areas(names):
            pipelines.configure(f"{PACKAGE_NAME or 'gnet'}.pipeline_registry")


class Prerequisites:
    """A pipeline brings what it needs: stored inputs that do not exist yet are made first."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember how this session was made, to make another like it."""
        self.context = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Make missing inputs in a session of their own, after saying which and why.

        That session has the same environment and parameters, runs every node between what exists and what is
        missing, and nothing else. What exists is never made again.
        """
        check_device(pipeline, catalog)
        stored = sorted(name for name in pipeline.inputs() if not name.startswith(("params:", "parameters")))
        missing = [name for name in stored if not catalog.exists(name)]
        if not missing:
            return
        names = run_params["pipeline_names"] or ["the default pipeline"]
        log.info("%s needs %s, not there yet: making it first.", ", ".join(names), ", ".join(missing))
        sources = ["__default__"] if catalog.exists("nsd") else ["simulation", "__default__"]
        if "simulation" in sources:
            log.info("No release of the Natural Scenes Dataset here: simulating a small one.")
        with KedroSession.create(
            self.context.project_path,
            env=run_params["env"],
            runtime_params=run_params["runtime_params"],
            conf_source=str(self.context.config_loader.conf_source),
        ) as session:
            session.run(pipeline_names=sources, to_outputs=missing, only_missing_outputs=True)
        log.info("Made %s. Now %s.", ", ".join(missing), ", ".join(names))


def check_device(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Raise DeviceError at once for a device that this machine lacks, not when the first fit begins."""
    if "params:fitting" in pipeline.inputs():
        from gnet.models.device import resolve_device  # imports torch

        resolve_device(catalog.load("params:fitting").device)


HEADINGS = {
    "area": "area",
    "subject": "subject",
    "voxels": "voxels",
    "excluded": "excluded",
    "median_r": "median r",
    "r_over_ceiling": "r/√ceiling",
    "variance_explained": "explained %",
    "ceiling": "ceiling %",
    "fev": "FEV %",
    "without_fev": "no FEV",
}
"""The columns of a summary that are printed, and what is printed above them."""


class Summaries:
    """The tables whose names end in `_summary` are printed when the run ends."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print each of them, and where it is stored."""
        for name in sorted(pipeline.outputs()):
            if name.endswith("_summary"):
                print_summary(name.removesuffix("_summary"), catalog.load(name))
                log.info("%s: accuracy of every voxel is in the dataset %s_accuracy.", name, name[:-8])


def print_summary(title: str, table: pd.DataFrame) -> None:
    """Print a summary, its fractions with two decimals."""
    grid = Table(
        title=f"{title}: single test trials, means over voxels unless it says median", title_justify="left"
    )
    for heading in HEADINGS.values():
        grid.add_column(heading, justify="left" if heading in ("area", "subject") else "right", no_wrap=True)
    for row in table[list(HEADINGS)].itertuples(index=False):
        grid.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row))
    console = rich.get_console()
    Console(file=console.file, width=max(console.width, 110)).print(grid)
