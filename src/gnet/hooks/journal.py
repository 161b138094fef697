"""Every run leaves a page in the folder `runs` of the data folder; the pages and the scores are one table."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

import gnet
from gnet.hooks.configuration import data_root, flat
from gnet.hooks.endings import what_to_correct
from gnet.hooks.runs import command_line
from gnet.hooks.unfinished import UnfinishedFits
from gnet.storage.atomic import atomic_path
from gnet.storage.versions import versions

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SCORES = {
    "gnet8j": "07_model_output/gnet8j_accuracy.parquet",
    "gnet8r": "07_model_output/gnet8r_accuracy.parquet",
    "imported": "07_model_output/imported_accuracy.parquet",
}
INDICES = {
    "index": "07_model_output/hierarchy_index.csv",
    "synthetic index": "07_model_output/synthetic.hierarchy_index.csv",
}
SHOWN = ["run", "pipelines", "parameters", "seed", "outcome", "seconds", "commit"]
PAGE = [*SHOWN, "env", "version", "host", "command"]


class Journal:
    """Writes the page of a run when it begins, and again when it ends."""

    def __init__(self, unfinished: UnfinishedFits) -> None:
        """`unfinished` knows the seed of the run."""
        self.unfinished = unfinished
        self.pages: dict[str, dict[str, Any]] = {}
        self.begun: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the pages lie."""
        self.folder = data_root(context) / "runs"

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Nothing stops the run any more: it begins."""
        run = run_params["run_id"]
        self.begun[run] = time.monotonic()
        self.pages[run] = {
            "run": run,
            "pipelines": ", ".join(run_params["pipeline_names"] or ["__default__"]),
            "env": run_params["env"],
            "parameters": ", ".join(f"{k}={v}" for k, v in flat(run_params["runtime_params"] or {})),
            "seed": self.unfinished.seed,
            "version": gnet.__version__,
            "commit": commit(),
            "host": socket.gethostname(),
            "command": command_line(),
        }
        self._write(run, "did not end")

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """The run has ended well."""
        self._write(run_params["run_id"], "finished")

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """The run has not ended well."""
        if run_params["run_id"] in self.pages:
            cause = what_to_correct(error) or error
            self._write(run_params["run_id"], f"{type(cause).__name__}: {cause}".splitlines()[0])

    def _write(self, run: str, outcome: str) -> None:
        seconds = round(time.monotonic() - self.begun[run], 1)
        page = self.pages[run] | {"outcome": outcome, "seconds": seconds}
        try:
            with atomic_path(self.folder / f"{run}.json") as part:
                part.write_text(json.dumps(page, indent=1) + "\n")
        except OSError as error:  # the results matter more
            log.warning("The page of this run in the journal could not be written: %s", error)


def commit() -> str | None:
    """The commit of this code, and whether it was changed since; None if it is unknown.

    Where there is no repository, as in a container, it is in the variable GNET_COMMIT.
    """
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=, with changes"]
    folder = Path(gnet.__file__).parent
    found = ""
    with contextlib.suppress(OSError):  # no git
        found = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False
        ).stdout.strip()
    return found or os.environ.get("GNET_COMMIT") or None


def runs_table(folder: Path) -> pd.DataFrame:
    """One row for each run in a data folder, the oldest first, also for those of versions without a journal.

    `run` is the time (UTC) at which it began, and names the versions that it stored. Of each model that it
    scored, `<model> r` is the mean correlation over voxels and `<model> r ±` the standard error over voxels;
    `index` is the hierarchy index of all subjects together and `index ±` its error over fits.
    """
    import pandas as pd  # half a second, which not every command has to wait for

    rows = {page["run"]: page for page in pages(folder / "runs")}
    for model, place in SCORES.items():
        for file in versions(folder / place):
            r = pd.read_parquet(file, columns=["r"])["r"].dropna()
            row = rows.setdefault(file.parent.name, {"run": file.parent.name})
            row |= {f"{model} r": r.mean(), f"{model} r ±": r.sem()}
    for index, place in INDICES.items():
        for file in versions(folder / place):
            found = pd.read_csv(file).query("subject == 'pooled'")
            row = rows.setdefault(file.parent.name, {"run": file.parent.name})
            row |= {index: found["index"].mean(), f"{index} ±": found["fit_error"].mean()}  # of one row
    table = pd.DataFrame([rows[run] for run in sorted(rows)])
    return table.reindex(columns=[*PAGE, *(name for name in table if name not in PAGE)])


def pages(folder: Path) -> Iterator[dict[str, Any]]:
    """The pages of a journal, the oldest first; those that cannot be read are reported and left out."""
    for path in sorted(folder.glob("*.json")):
        try:
            page = json.loads(path.read_text())
            yield {name: page.get(name) for name in PAGE} | {"run": path.stem}
        except (OSError, ValueError, AttributeError):
            log.warning("%s: expected a page of the journal, found something else. Ignoring it.", path)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that fit on a screen, every score with its error in one cell."""
    shown = table[SHOWN].astype(object).where(table[SHOWN].notna(), "")
    for score in (name for name in table if f"{name} ±" in table):
        cells = zip(table[score], table[f"{score} ±"], strict=True)
        shown[score] = ["" if value != value else f"{value:.3f} ± {error:.3f}" for value, error in cells]
    shown["run"] = [f"{run[:10]} {run[11:19].replace('.', ':')}" for run in shown["run"]]
    return shown.astype(str)
