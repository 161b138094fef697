"""How a run ends: one message for what a user can correct, good order on Ctrl-C, printed tables."""

from __future__ import annotations

import atexit
import io
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType

import click
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.validation.exceptions import ParameterValidationError

from gnet.errors import GNetError
from gnet.hooks.stored import place
from gnet.storage.atomic import causes, storage_error
from gnet.storage.steady_file import HOLDING

log = logging.getLogger(__name__)

SECONDS_TO_CLEAN_UP, SECONDS_UNTIL_AGAIN = 2.0, 0.02
MISSPELT = (
    "Failed to find the pipeline",
    "Pipeline does not contain ",
    "Pipeline contains no nodes after",
    "'load_versions' keys",
)
"""How Kedro's errors begin for misspelt pipelines, nodes, tags and datasets."""


class Errors:
    """What a user can correct is said in one message, without the trail of calls that led to it."""

    @hook_impl(tryfirst=True)
    def after_context_created(self) -> None:
        """From now on, `explain` has the last word on an error that ends the program."""
        if not isinstance(sys.excepthook, partial):
            sys.excepthook = partial(explain, sys.excepthook)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # of a terminal without some of the characters
                stream.reconfigure(errors="replace")


def explain(
    otherwise: Callable, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print an error that a user can correct by its message; leave others as they were.

    With GNET_TRACEBACK=1 in the environment everything is left as it was.
    """
    cause = what_to_correct(error)
    if cause is None or os.environ.get("GNET_TRACEBACK"):
        otherwise(kind, error, traceback)
    else:
        print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)


def what_to_correct(error: BaseException) -> BaseException | None:
    """The cause of an error that a user can correct; None if there is none."""
    ours = GNetError | ParameterValidationError
    found = (each for each in causes(error) if isinstance(each, ours) or str(each).startswith(MISSPELT))
    return next(found, None) or storage_error(error)


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
    """End the program, with the exit code that shells expect. A second signal ends it at once.

    Where Python would swallow what is raised, as in the callback of a weak reference, this waits a moment.
    """
    signal.signal(number, signal.SIG_DFL)
    if swallowing(frame) and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda _, later: interrupted(number, later))
        signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_AGAIN)
        return
    if multiprocessing.parent_process() is not None:  # a runner's worker would take the next node
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_CLEAN_UP)
    message = "\nInterrupted. What is finished is kept: the same command, given again, goes on from there."
    atexit.register(print, message, file=sys.stderr)
    raise SystemExit(128 + number)


def swallowing(frame: FrameType | None) -> bool:
    """Whether an exception that is raised in this frame could get lost on its way, or do damage."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(HOLDING) or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Summaries:
    """Tables that a scientist reads first are printed when the run ends (`gnet.figures.printed`)."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print them, also those that a later node used, and say where the results are stored."""
        from gnet.figures.printed import SUMMARIES, print_place, print_summary

        names = sorted(name for name in pipeline.all_outputs() if not name.startswith("sweep."))
        tables = {name: catalog.load(name) for name in names if name.rpartition(".")[2] in SUMMARIES}
        try:
            for name, table in tables.items():
                print_summary(name, table)
            if "report" in names:
                print_place("report", catalog.get("report"))
        except (OSError, ValueError) as error:  # a closed terminal, a full disk behind a redirection
            log.warning("The results are stored, but could not be printed: %s", error)
        places = (place(catalog.get(name)) for name in pipeline.all_outputs())
        if folders := {path.parent for path in places if path}:
            root = Path(os.path.commonpath([folder.parent for folder in folders]))
            inner = sorted(str(folder.relative_to(root)) for folder in folders)
            log.info("Stored in %s: %s.", root, ", ".join(inner))
