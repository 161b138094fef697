"""What the paper reports: the source data of its figures, as published.

St-Yves, Allen, Wu, Kay, Naselaris: Brain-optimized deep neural network models of human visual areas learn
non-hierarchical representations. Nature Communications 14:3329 (2023), doi 10.1038/s41467-023-38674-4.

In model names, fpf means flexible pooling fields, fwrf Gaussian ones, ft fine-tuned.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

POOLED = 9
"""Value of `subj` in `published_hierarchy_index` for the voxels of all subjects together."""


def published_accuracy() -> pd.DataFrame:
    """Mean variance explained 100 r^2 of single trials, percent: `subj`, `ROI`, `noise ceiling`, the models.

    >>> published_accuracy().groupby("ROI")["GNet8j-fpf"].mean().round(2).to_dict()
    {'V1': 14.27, 'V2': 11.39, 'V3': 8.53, 'hV4': 7.29}
    """
    return _read("model_accuracy_summary_source.csv")


def published_fev() -> pd.DataFrame:
    """Mean fraction of explainable variance, percent: `subj`, `ROI` and one column per model.

    >>> published_fev().groupby("ROI")["GNet8jft-fpf"].mean().round(1).to_dict()
    {'V1': 76.4, 'V2': 70.6, 'V3': 63.0, 'hV4': 57.7}
    """
    return _read("model_FEV_summary_source.csv")


def published_hierarchy_index() -> pd.DataFrame:
    """Hierarchy index (`mean`) and its fit error (`std`) by `subj` and `set`, the source of the responses.

    The set `Experimental` is the measured brain; the others are synthetic, the predictions of that model.

    >>> table = published_hierarchy_index()
    >>> table[table["subj"] == POOLED].set_index("set")["mean"].to_dict()
    {'Alexnet': 0.99, 'GNet8j': 0.9, 'GNet8r': 0.29, 'Experimental': -0.01}
    """
    return _read("transfer_learning_summary_source.csv")


def _read(name: str) -> pd.DataFrame:
    with (files(__package__) / name).open(encoding="utf-8") as file:
        return pd.read_csv(file)
