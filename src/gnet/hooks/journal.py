"""Every run leaves a page in the folder `runs` of the data folder: what was run, with what, how it ended."""

from __future__ import annotations

import json
import logging
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

import gnet
from gnet.hooks.configuration import data_root, flat
from gnet.hooks.endings import what_to_correct
from gnet.hooks.unfinished import UnfinishedFits
from gnet.storage.atomic import atomic_path

log = logging.getLogger(__name__)


class Journal:
    """Writes the page of a run when it begins, and again when it ends."""

    def __init__(self, unfinished: UnfinishedFits) -> None:
        """`unfinished` knows the seed of the run."""
        self.unfinished = unfinished
        self.begun: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the pages lie."""
        self.folder = data_root(context) / "runs"

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Nothing stops the run any more: it begins."""
        self.begun[run_params["run_id"]] = time.monotonic()
        self._write(run_params, "did not end")

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """The run has ended well."""
        self._write(run_params, "finished")

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """The run has not ended well."""
        if run_params["run_id"] in self.begun:
            cause = what_to_correct(error) or error
            self._write(run_params, f"{type(cause).__name__}: {cause}".splitlines()[0])

    def _write(self, run_params: dict[str, Any], outcome: str) -> None:
        run = run_params["run_id"]
        page = {
            "run": run,
            "pipelines": ", ".join(run_params["pipeline_names"] or ["__default__"]),
            "env": run_params["env"],
            "parameters": ", ".join(f"{k}={v}" for k, v in flat(run_params["runtime_params"] or {})),
            "seed": self.unfinished.seed,
            "outcome": outcome,
            "seconds": round(time.monotonic() - self.begun[run], 1),
            "version": gnet.__version__,
            "commit": commit(),
            "host": socket.gethostname(),
            "command": f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}",
        }
        try:
            with atomic_path(self.folder / f"{run}.json") as part:
                part.write_text(json.dumps(page, indent=1) + "\n")
        except OSError as error:  # the results matter more
            log.warning("The page of this run in the journal could not be written: %s", error)


def commit() -> str | None:
    """The commit of this code, and whether it was changed since; None if it is in no repository."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=, with changes"]
    folder = Path(gnet.__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return done.stdout.strip() or None
