"""What was run in a data folder, and what came out, as one table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from gnet.storage.versions import versions

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


def runs_table(folder: Path) -> pd.DataFrame:
    """One row for each run in a data folder, the oldest first, also for those of versions without a journal.

    `run` is the time (UTC) at which it began, and names the versions that it stored. Of each model that it
    scored, `<model> r` is the mean correlation over voxels and `<model> r ±` the standard error over voxels;
    `index` is the hierarchy index of all subjects together and `index ±` its error over fits.
    """
    pages = [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*.json"))]
    rows = {page["run"]: page for page in pages}
    for model, place in SCORES.items():
        for file in versions(folder / place):
            r = pd.read_parquet(file, columns=["r"])["r"].dropna()
            row = rows.setdefault(file.parent.name, {"run": file.parent.name})
            row |= {f"{model} r": r.mean(), f"{model} r ±": r.sem()}
    for index, place in INDICES.items():
        for file in versions(folder / place):
            pooled = pd.read_csv(file).set_index("subject").loc["pooled"]
            row = rows.setdefault(file.parent.name, {"run": file.parent.name})
            row |= {index: pooled["index"], f"{index} ±": pooled["fit_error"]}
    table = pd.DataFrame([rows[run] for run in sorted(rows)])
    return table.reindex(columns=[*PAGE, *(name for name in table if name not in PAGE)])


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that fit on a screen, every score with its error in one cell."""
    shown = table[SHOWN].astype(object).where(table[SHOWN].notna(), "")
    for score in (name for name in table if f"{name} ±" in table):
        cells = zip(table[score], table[f"{score} ±"], strict=True)
        shown[score] = ["" if value != value else f"{value:.3f} ± {error:.3f}" for value, error in cells]
    shown["run"] = [f"{run[:10]} {run[11:19].replace('.', ':')}" for run in shown["run"]]
    return shown.astype(str)
