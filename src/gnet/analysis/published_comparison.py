"""Our results next to those of the paper, in the layout of its source data."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gnet.analysis.transfer_matrix import POOLED
from gnet.paper import POOLED as PUBLISHED_POOLED

SOURCES = ("published", "ours", "difference")
SUBJECTS = {f"subj{number:02d}": number for number in range(1, 9)} | {POOLED: PUBLISHED_POOLED}
"""`subj` of the paper's tables for each of its subjects."""
NAMES = {"area": "ROI", "index": "mean", "fit_error": "std"}
"""What our columns are called in the paper's tables."""


def beside_published(published: pd.DataFrame, ours: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Three rows for each row of either table: `published`, `ours`, and ours less published.

    Columns: the keys, `source` (one of the three), the published columns, then columns that only our table
    has. Rows are in the order of the published table, then those that only our table has. Missing values are
    NaN.
    """
    keys = list(keys)
    columns = [*dict.fromkeys([*published.columns.drop(keys), *ours.columns.drop(keys)])]
    rows = pd.concat([published[keys], ours[keys]]).drop_duplicates().reset_index(drop=True)
    sides = [rows.merge(table, on=keys, how="left").reindex(columns=columns) for table in (published, ours)]
    blocks = [*sides, sides[1] - sides[0]]
    tables = [rows.join(block).assign(source=source) for source, block in zip(SOURCES, blocks, strict=True)]
    stacked = pd.concat(tables).sort_index(kind="stable").reset_index(drop=True)
    return stacked[[*keys, "source", *columns]]


def accuracy_layout(gnet8j: pd.DataFrame, gnet8r: pd.DataFrame) -> pd.DataFrame:
    """Summaries of both models (`summary_table`) in the layout of the paper's accuracies.

    Subjects that the paper does not have are left out, here and in the other layouts.
    """
    both = _both(gnet8j, gnet8r, "variance_explained")
    both["noise ceiling"] = gnet8j.set_index(["subject", "area"])["ceiling"]
    return _numbered(both.reset_index())[["subj", "ROI", "noise ceiling", "GNet8j-fpf", "GNet8r-fpf"]]


def fev_layout(gnet8j: pd.DataFrame, gnet8r: pd.DataFrame) -> pd.DataFrame:
    """Summaries of both models in the layout of the paper's fractions of explainable variance.

    The paper reports these only for a fine-tuned model, which we do not have, so columns are added and not
    compared.
    """
    return _numbered(_both(gnet8j, gnet8r, "fev").reset_index())[["subj", "ROI", "GNet8j-fpf", "GNet8r-fpf"]]


def hierarchy_index_layout(**index: pd.DataFrame) -> pd.DataFrame:
    """Tables of the hierarchy index, named by the paper's sets, in its layout."""
    tables = [_numbered(table).assign(set=name) for name, table in index.items()]
    return pd.concat(tables, ignore_index=True)[["set", "subj", "mean", "std"]]


def _both(gnet8j: pd.DataFrame, gnet8r: pd.DataFrame, column: str) -> pd.DataFrame:
    sides = {"GNet8j-fpf": gnet8j, "GNet8r-fpf": gnet8r}
    keys = ["subject", "area"]
    return pd.concat({name: table.set_index(keys)[column] for name, table in sides.items()}, axis=1)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper's subjects, with its numbers and its names of columns, sorted by number."""
    table = table[table["subject"].isin(SUBJECTS)]
    table = table.assign(subj=table["subject"].map(SUBJECTS).astype(int))
    return table.rename(columns=NAMES).sort_values("subj", kind="stable")
