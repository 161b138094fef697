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
