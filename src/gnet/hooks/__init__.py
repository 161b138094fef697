"""What happens around a run: its areas, its prerequisites, other runs beside it, its end, good or bad."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import click
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import PACKAGE_NAME, pipelines
from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline
from kedro.validation.exceptions import ParameterValidationError

from gnet import pipeline_registry
from gnet.errors import GNetError, ModelFileError, ParameterError
from gnet.figures.printed import SUMMARIES, print_place, print_summary
from gnet.hooks.configuration import data_root, is_parameter, written_parameters
from gnet.hooks.runs import announce
from gnet.storage.atomic import storage_error

log = logging.getLogger(__name__)

SECONDS_TO_CLEAN_UP = 2.0
SHORTCUTS = ("protocol", "seed", "device")
"""Parameters of `fitting` that `--params` may set without saying `fitting`: see conf/base."""


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
    while cause is not None and not mendable(cause):
        cause = cause.__cause__ or cause.__context__
    cause = cause or storage_error(error)
    if cause is None or os.environ.get("GNET_TRACEBACK"):
        otherwise(kind, error, traceback)
    else:
        print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)


def mendable(error: BaseException) -> bool:
    """Whether it says what a user can mend: our own, a parameter that is refused, a misspelt pipeline."""
    misspelt = isinstance(error, ValueError) and str(error).startswith("Failed to find the pipeline")
    return misspelt or isinstance(error, (GNetError, ParameterValidationError))


class Interruptions:
    """Ctrl-C, and the signal by which clusters end their jobs, end `kedro run` in good order."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """From now on they are answered by `interrupted`, unless they are ignored, as under nohup."""
        if click.get_current_context(silent=True) is None:  # no command, but a notebook or a program
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                signal.signal(number, interrupted)


def interrupted(number: int, frame: FrameType | None) -> None:
    """End the program, with the exit code that shells expect. A second signal ends it at once."""
    signal.signal(number, signal.SIG_DFL)
    if multiprocessing.parent_process() is not None:  # a runner's worker would take the next node
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_CLEAN_UP)
    message = "\nInterrupted. What is finished is kept: the same command, given again, goes on from there."
    atexit.register(print, message, file=sys.stderr)
    raise SystemExit(128 + number)


class Areas:
    """One model per configured area: pipelines are built from the names under `areas` in the parameters."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Hand the names to the registry; build the pipelines anew where they differ."""
        names = tuple(written_parameters(context).get("areas", ()))
        if pipeline_registry.use_areas(names):
            pipelines.configure(f"{PACKAGE_NAME or 'gnet'}.pipeline_registry")


class KnownParameters:
    """A misspelt name among the parameters stops a run; those below the top are checked by their classes."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember what is configured."""
        self.configured = set(written_parameters(context))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Raise ParameterError for a name that no pipeline reads."""
        inputs = {name for pipeline in pipelines.values() for name in pipeline.inputs()}
        known = {name.removeprefix("params:").split(".")[0] for name in inputs if is_parameter(name)}
        known |= {"areas", *SHORTCUTS}
        for name in sorted(self.configured - known):
            similar = get_close_matches(name, known, n=1)
            hint = f"Did you mean {similar[0]}?" if similar else "Correct its name, or remove it."
            raise ParameterError(f"{name}: expected one of {', '.join(sorted(known))}, got {name!r}. {hint}")


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
        stored = sorted(name for name in pipeline.inputs() if not is_parameter(name))
        missing = [name for name in stored if not catalog.exists(name)]
        if not missing:
            return
        refuse_unmade(missing, catalog)
        names = run_params["pipeline_names"] or ["the default pipeline"]
        log.info("%s needs %s, not there yet: making it first.", ", ".join(names), ", ".join(missing))
        sources = ["__default__"] if catalog.exists("recording") else ["simulation", "__default__"]
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


def refuse_unmade(missing: list[str], catalog: CatalogProtocol) -> None:
    """Raise ModelFileError for the one input that no pipeline makes, the imported model."""
    if "imported" in missing:
        path = catalog.get("imported")._filepath
        raise ModelFileError(
            f"imported: expected a model at {path}, found none. Import one: gnet import-checkpoint FILE... "
            f"--to {path}"
        )


def check_device(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Raise DeviceError at once for a device that this machine lacks, not when the first fit begins."""
    if "params:fitting" in pipeline.inputs():
        from gnet.models.device import resolve_device  # imports torch

        resolve_device(catalog.load("params:fitting").device)


class OtherRuns:
    """No run touches what another one makes at the same time (`gnet.hooks.runs`)."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the data lie."""
        self.folder = data_root(context)

    @hook_impl(trylast=True)  # after the prerequisites, whose sessions announce themselves
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Announce this run, unless another one is in its way."""
        stored = {name for name in pipeline.datasets() if getattr(catalog.get(name), "_filepath", None)}
        makes = stored & pipeline.all_outputs()
        self.announced = announce(self.folder, stored - makes, makes)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """The run is over."""
        if self.announced is not None:
            self.announced.withdraw()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """The run is over, too."""
        self.after_pipeline_run()


class UnfinishedFits:
    """A run that was killed goes on where it was when the same command is given again.

    The state of each fit lies beside its model's folder, in `unfinished/<model>.pt`, until the whole run has
    ended: models that the killed run had finished are not fitted a second time.
    """

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any]) -> dict[str, Any]:
        """Tell a node that fits a model where the state of that fit lies."""
        state = state_path(node, catalog)
        if state is None:
            return {}
        return {"params:fitting": inputs["params:fitting"].model_copy(update={"state": state})}

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Remove the states of all fits of the run."""
        for node in pipeline.nodes:
            state = state_path(node, catalog)
            if state is not None:
                state.unlink(missing_ok=True)


def state_path(node: Node, catalog: CatalogProtocol) -> Path | None:
    """Where the state of the fit that a node makes lies; None for nodes that fit nothing that is stored."""
    if "fit" not in node.tags:
        return None
    [model] = node.outputs
    path = getattr(catalog.get(model), "_filepath", None)
    return None if path is None else Path(path).parent / "unfinished" / f"{model}.pt"


class Summaries:
    """Tables that a scientist reads first are printed when the run ends (`gnet.figures.printed`)."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print them, also those that a later node went on with, and where the report lies."""
        for name in sorted(pipeline.all_outputs()):
            if name.rpartition(".")[2] in SUMMARIES:
                print_summary(name, catalog.load(name))
        if "report" in pipeline.all_outputs():
            print_place("report", catalog.get("report"))
