"""Voxels excluded from the averages, and why."""

from __future__ import annotations

import pandas as pd

from gnet.evaluation.accuracy import FEV_CEILING


def exclusions(accuracy: pd.DataFrame, receptive_fields: pd.DataFrame) -> pd.DataFrame:
    """Numbers of excluded voxels by subject and reason: `subject`, `reason`, `voxels`, `of`.

    `accuracy` is an accuracy table including its `excluded` voxels; `receptive_fields` has `determined`. `of`
    is the number of voxels before the exclusion.

    >>> accuracy = pd.DataFrame({"excluded": ["", "no data"], "r": 0.1, "fev": [1.0, None]})
    >>> accuracy["subject"] = "subj01"
    >>> exclusions(accuracy, accuracy.assign(determined=True))["voxels"].tolist()
    [1]
    """
    rows = []
    for subject, voxels in accuracy.groupby("subject"):
        fitted = voxels[voxels["excluded"] == ""]
        counts = voxels.loc[voxels["excluded"] != "", "excluded"].value_counts()
        rows += [(subject, f"not fitted: {reason}", count, len(voxels)) for reason, count in counts.items()]
        determined = receptive_fields.loc[receptive_fields["subject"] == subject, "determined"]
        for reason, excluded in (
            ("no accuracy: prediction or response never varies", fitted["r"].isna()),
            (f"no FEV: noise ceiling below {FEV_CEILING:.0f} % or unknown", fitted["fev"].isna()),
            ("no receptive field: its ellipse is not determined", ~determined),
        ):
            rows.append((subject, reason, excluded.sum(), len(excluded)))
    table = pd.DataFrame(rows, columns=["subject", "reason", "voxels", "of"])
    return table[table["voxels"] > 0].astype({"voxels": int, "of": int})
