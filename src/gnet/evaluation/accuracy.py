"""Prediction accuracy on single trials and on image averages, relative to the noise ceiling."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gnet.evaluation.resampling import draw_trials, resampled_correlation
from gnet.recording.measurements import ScoredTrials
from gnet.recording.noise_ceiling import noise_ceiling
from gnet.recording.split import image_average

FEV_CEILING = 5.0
"""Percent. Voxels with a lower noise ceiling have no fraction of explainable variance (paper, Methods)."""


def voxel_correlation(
    measured: Float[np.ndarray, "trial voxel"], predicted: Float[np.ndarray, "trial voxel"]
) -> Float[np.ndarray, " voxel"]:
    """Pearson correlation over trials, in double precision; NaN where either side is constant.

    Differs from the published code: there, NaN silently becomes 0.

    >>> measured = np.array([[0., 1, 5], [1, 0, 5], [2, 2, 5]])
    >>> predicted = np.array([[1., 0, 0], [2, 2, 1], [3, 1, 0]])
    >>> voxel_correlation(measured, predicted).round(3)  # the third voxel never varies
    array([ 1. , -0.5,  nan])
    """
    centred = []
    for values in (measured, predicted):
        values = np.asarray(values, np.float64)
        deviation = values - values.mean(0)
        deviation[:, (values == values[0]).all(0)] = np.nan  # exact: the mean may be rounded
        centred.append(deviation)
    covariance = np.einsum("tv,tv->v", *centred)
    energy = [np.einsum("tv,tv->v", deviation, deviation) for deviation in centred]
    return covariance / np.sqrt(energy[0] * energy[1])


def explained_fraction(
    variance_explained: Float[np.ndarray, " voxel"], ceiling: Float[np.ndarray, " voxel"]
) -> Float[np.ndarray, " voxel"]:
    """Fraction of explainable variance (FEV), in percent; NaN where the ceiling is below 5 % or unknown.

    The FEV of an area is the mean over its voxels, not a ratio of means (paper, Methods).

    >>> explained_fraction(np.array([10.0, 1.0]), np.array([20.0, 4.0]))
    array([50., nan])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ceiling >= FEV_CEILING, 100 * variance_explained / ceiling, np.nan)


def accuracy_table(
    predicted: Float[np.ndarray, "image voxel"],
    measured: Float[np.ndarray, "trial voxel"],
    trial_image: Int[np.ndarray, " trial"],
    ncsnr: Float[np.ndarray, " voxel"],
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Accuracy of every voxel of one subject on its test trials.

    Parameters
    ----------
    predicted : array, (image, voxel)
        Response to each test image.
    measured : array, (trial, voxel)
        Response in each test trial, in standard deviations of its session.
    trial_image : array, (trial,)
        Row of `predicted` that each trial showed; every row at least once.
    ncsnr : array, (voxel,)
        Noise ceiling signal-to-noise ratio from the release.
    resamples, seed : int
        Bootstrap resamples of the trials (published: 64), and the seed that draws them.

    Returns
    -------
    DataFrame
        One row per voxel: `r` on single trials and its bootstrap standard deviation `r_sd`; `r_images` on
        trials averaged by image; `variance_explained` and `variance_explained_images` (100 r^2, percent);
        `ceiling` (n = 1) and `ceiling_images` (the repetitions used), `fev` and `fev_images`, in percent; the
        numbers of `trials` and `images`. NaN where undefined.
    """
    by_trial = predicted[trial_image]
    shown, averaged, repetitions = image_average(measured, trial_image)
    table = pd.DataFrame(index=range(measured.shape[1]))
    for kind, r, ceiling in (
        ("", voxel_correlation(measured, by_trial), noise_ceiling(ncsnr, 1)),
        ("_images", voxel_correlation(averaged, predicted[shown]), noise_ceiling(ncsnr, repetitions)),
    ):
        explained = 100 * r**2
        table[f"r{kind}"], table[f"variance_explained{kind}"] = r, explained
        table[f"ceiling{kind}"], table[f"fev{kind}"] = ceiling, explained_fraction(explained, ceiling)
    counts = draw_trials(trial_image, resamples, seed)
    table.insert(1, "r_sd", resampled_correlation(measured, by_trial, counts).std(0))
    return table.assign(trials=len(measured), images=len(shown))


def score_voxels(
    predicted: Float[np.ndarray, "image voxel"],
    tests: ScoredTrials,
    voxels: pd.DataFrame,
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Accuracy of all voxels of one subject on its test trials, with NaN for excluded voxels.

    `predicted` and `tests` are of the voxels that are not excluded; `voxels` is the table of all: subject,
    voxel_index, area, label, ncsnr, excluded. Its columns but ncsnr precede those of `accuracy_table`.
    """
    scored = voxels[voxels["excluded"] == ""]
    responses, trial_image, ncsnr = tests.response, tests.trial_image, scored["ncsnr"].to_numpy()
    accuracy = accuracy_table(predicted, responses, trial_image, ncsnr, resamples=resamples, seed=seed)
    identity = voxels[["subject", "voxel_index", "area", "label", "excluded"]]
    return identity.join(accuracy.set_index(scored.index))


def summary_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by area and subject.

    `voxels` and `excluded` count fitted and excluded voxels. Medians and means are over the fitted voxels for
    which the quantity exists; `without_r` and `without_fev` count the others. `variance_explained`, `ceiling`
    and `fev` are means in percent, as in the paper's source data; `r_over_ceiling` is the median over voxels
    of r / sqrt(ceiling / 100).
    """
    fitted = accuracy["excluded"] == ""
    excluded = (~fitted).groupby([accuracy["area"], accuracy["subject"]]).sum()
    voxels = accuracy[fitted]
    voxels = voxels.assign(r_over_ceiling=relative_accuracy(voxels))
    table = voxels.groupby(["area", "subject"]).agg(
        voxels=("r", "size"),
        median_r=("r", "median"),
        variance_explained=("variance_explained", "mean"),
        ceiling=("ceiling", "mean"),
        fev=("fev", "mean"),
        r_over_ceiling=("r_over_ceiling", "median"),
        without_r=("r", lambda r: int(r.isna().sum())),
        without_fev=("fev", lambda fev: int(fev.isna().sum())),
        trials=("trials", "max"),
        images=("images", "max"),
    )
    table.insert(1, "excluded", excluded.loc[table.index])
    return table.astype({"trials": int, "images": int}).reset_index()


def relative_accuracy(accuracy: pd.DataFrame) -> pd.Series:
    """R / sqrt(ceiling / 100) of every voxel; NaN where its ceiling is not above 0."""
    ceiling = accuracy["ceiling"].astype(float)
    return accuracy["r"] / np.sqrt(ceiling.where(ceiling > 0) / 100)
