"""How much a result varies between fits that differ in nothing but their seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

IGNORED = ("seed", "device", "torch", "cache_gigabytes")
"""What may differ between fits that count as the same but for their seed."""


def settings_digest(fits: Iterable[Mapping[str, Any]]) -> str:
    """A short text that two results share if, and only if, they differ in the seeds of their fits alone.

    Parameters
    ----------
    fits : iterable of mappings
        The configuration of each fit, plain values by name; `data` among them tells the data apart.

    Examples
    --------
    >>> first, second = {"epochs": 50, "seed": 1}, {"epochs": 50, "seed": 2}
    >>> settings_digest([first]) == settings_digest([second])
    True
    >>> settings_digest([first]) == settings_digest([first | {"epochs": 12}])
    False
    """
    digest = hashlib.sha256()
    for fit in fits:
        meaning = {name: value for name, value in fit.items() if name not in IGNORED}
        digest.update(json.dumps(meaning, sort_keys=True, default=str).encode())
    return f"sha256:{digest.hexdigest()[:12]}"  # never a number, which a CSV file would make of bare digits


def index_over_seeds(newest: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds of the hierarchy index, of results with the settings of the newest.

    Of several results with the same seed, the one of the latest version counts. Of fits with different seeds
    (written with a plus, as 2+1 where trunks are of seed 2 and the readouts on them of seed 1) none counts:
    others may share their trunks.

    Parameters
    ----------
    newest
        The index of this run: subject, index, protocol, seed, settings.
    versions
        The same of all runs, this one among them, with `version`, whose order is that of time.

    Returns
    -------
    subject; index, the mean over seeds; seed_sd, the standard deviation over them, NaN for a single one;
    seeds, how many there are; which; protocol; settings. A seed without an index does not count.
    """
    same = versions[versions["settings"] == newest["settings"].iloc[0]]
    same = same.assign(seed=same["seed"].convert_dtypes().astype(str))  # whole numbers again, if they are
    latest = same.sort_values("version", kind="stable").drop_duplicates(["subject", "seed"], keep="last")
    latest = latest.dropna(subset="index")
    latest = latest[~latest["seed"].str.contains("+", regex=False)]
    rows = []
    for row in newest.itertuples():
        found = latest[latest["subject"] == row.subject]
        seeds = sorted(found["seed"], key=lambda seed: (len(seed), seed))
        index = found["index"]
        which = ", ".join(seeds)
        rows.append((row.subject, index.mean(), index.std(), len(seeds), which, row.protocol, row.settings))
    columns = ["subject", "index", "seed_sd", "seeds", "which", "protocol", "settings"]
    return pd.DataFrame(rows, columns=columns)
