"""Nodes of encoding_roi."""

import pandas as pd


def gather(*accuracies: pd.DataFrame) -> pd.DataFrame:
    """The areas' accuracy tables as one, in the areas' order."""
    return pd.concat(accuracies, ignore_index=True)
