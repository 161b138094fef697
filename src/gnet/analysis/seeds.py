"""Variability of results over fits that differ only in their seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

IGNORED = ("seed", "device", "torch", "cache_gigabytes", "prefilter")
"""Settings that may differ between fits that count as repetitions with another seed; `data` is a digest of
the prefilter, too.
"""


def settings_digest(fits: Iterable[Mapping[str, Any]]) -> str:
    """Digest that two results share if and only if their fits differ at most in the seed.

    `fits` are the configurations of the fits: plain values by name, including `data`, a digest of the data.

    >>> first, second = {"epochs": 50, "seed": 1}, {"epochs": 50, "seed": 2}
    >>> settings_digest([first]) == settings_digest([second])
    True
    """
    digest = hashlib.sha256()
    for fit in fits:
        meaning = {name: value for name, value in fit.items() if name not in IGNORED}
        digest.update(json.dumps(meaning, sort_keys=True, default=str).encode())
    return f"sha256:{digest.hexdigest()[:12]}"  # the prefix keeps CSV files from reading a number


def index_over_seeds(newest: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds of the hierarchy index, for results with the settings of the newest.

    Of several results with the same seed, only the latest version counts. Results with mixed seeds (written
    with a plus: 2+1 for trunks of seed 2 with readouts of seed 1) are excluded, as other results may share
    their trunks.

    `newest` is the index of this run (subject, index, protocol, seed, settings), `versions` that of all runs
    including this one, with `version`, which sorts by time. Columns of the result: subject; index, the mean
    over seeds; seed_sd, their standard deviation, NaN for one seed; seeds, their number; which, a list of
    them; protocol; settings. Seeds without an index are excluded.
    """
    same = versions[versions["settings"] == newest["settings"].iloc[0]]
    same = same.assign(seed=same["seed"].convert_dtypes().astype(str))  # integers again, where possible
    latest = same.sort_values("version", kind="stable").drop_duplicates(["subject", "seed"], keep="last")
    latest = latest[latest["index"].notna() & ~latest["seed"].str.contains("+", regex=False)]
    rows = []
    for row in newest.itertuples():
        found = latest[latest["subject"] == row.subject]
        which = ", ".join(sorted(found["seed"], key=lambda seed: (len(seed), seed)))
        mean, sd = found["index"].mean(), found["index"].std()
        rows.append((row.subject, mean, sd, len(found), which, row.protocol, row.settings))
    columns = ["subject", "index", "seed_sd", "seeds", "which", "protocol", "settings"]
    return pd.DataFrame(rows, columns=columns)


def sweep_tables(
    settings: Mapping[str, Mapping[str, Any]],
    accuracies: Mapping[tuple[str, str], pd.DataFrame],
    indices: Mapping[str, pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What fits of several brains, protocols and seeds come to, side by side.

    Parameters
    ----------
    settings
        By cell, its settings, with `brain`, `protocol` and `seed`. A cell is one combination.
    accuracies
        By cell and model, the summary of the model's accuracy (area, subject, median_r, ...).
    indices
        By cell, its hierarchy index (subject, index, ..., protocol, seed, settings).

    Returns
    -------
    results
        A row for each cell, model, area and subject: the settings and the accuracy.
    index
        A row for each cell and subject: the settings and the index.
    summary
        By brain, protocol, model and area, over seeds: the mean of median_r, itself the mean over subjects,
        its standard deviation (`seed_sd`; NaN for one seed), and the number of seeds.
    seeds
        By brain, protocol and subject, the index over seeds: see `index_over_seeds`.
    """

    def described(cell: str, table: pd.DataFrame, **more: str) -> pd.DataFrame:
        found = more | table.drop(columns=settings[cell].keys() & set(table)).to_dict("series")
        return pd.DataFrame(named(cell) | found | settings[cell])  # named once: the first place counts

    def named(cell: str) -> dict[str, Any]:
        return {name: settings[cell][name] for name in ("brain", "protocol", "seed")}

    of_models = [described(cell, table, model=model) for (cell, model), table in accuracies.items()]
    results = pd.concat(of_models, ignore_index=True)
    index = pd.concat([described(cell, table) for cell, table in indices.items()], ignore_index=True)
    by = ["brain", "protocol", "model", "area"]
    of_seeds = results.groupby([*by, "seed"], sort=False)["median_r"].mean().groupby(by, sort=False)
    summary = of_seeds.agg(median_r="mean", seed_sd="std", seeds="count").reset_index()
    versions = [table.assign(version=cell, brain=settings[cell]["brain"]) for cell, table in indices.items()]
    seeds = []
    for (brain, _), tables in pd.concat(versions).groupby(["brain", "protocol"], sort=False):
        newest = tables.drop_duplicates("subject", keep="last")
        seeds.append(index_over_seeds(newest, tables).assign(brain=brain))
    return results, index, summary, pd.concat(seeds, ignore_index=True)
