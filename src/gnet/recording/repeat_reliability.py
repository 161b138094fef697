"""Whether responses repeat when their image does: if not, trials, images and units do not belong together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from gnet.errors import ReleaseError

ENOUGH_UNITS = 8
"""With fewer, a correlation over units says nothing."""
BLOCK = 256  # units at a time


@dataclass(frozen=True)
class Sources:
    """Names of the files of a subject's sessions, trials and ncsnr, as errors give them."""

    sessions: Mapping[int, str]
    trials: str
    ncsnr: str
    advice: Callable[[Sequence[str]], str]
    """A sentence on what to do about files of these names."""


def repeat_reliability(
    zscored: Float32[np.ndarray, "trial unit"],
    image: Int[np.ndarray, " trial"],
    weight: Float[np.ndarray, " unit"],
) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """Repeat reliability: product of a response with the mean response in the other trials of its image.

    For z-scored responses the product is, on average, the variance that the image explains; it is 0 if trials
    and images do not belong together. Missing responses count as 0, trials of images that were shown once are
    NaN. `image` is any number that tells images apart. Returned are each trial's average over units by
    `weight`, which sums to 1; each unit's average over trials; and the standard error of the latter.
    """
    _, place, count = np.unique(image, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    starts = np.cumsum(count) - count
    repeated = count[place] > 1
    others = np.maximum(count[place] - 1, 1).astype(np.float32)[:, None]
    of_trials = np.zeros(len(image))
    of_units, error = np.zeros((2, zscored.shape[1]))
    for start in range(0, zscored.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        responses = np.nan_to_num(zscored[:, block])
        product = responses * ((np.add.reduceat(responses[order], starts)[place] - responses) / others)
        of_trials += product @ weight[block]
        if repeated.any():
            of_units[block] = product[repeated].mean(axis=0)
            error[block] = product[repeated].std(axis=0) / np.sqrt(repeated.sum())
    return np.where(repeated, of_trials, np.nan), of_units, error


def check_repeat_reliability(
    subject: str,
    zscored: Float32[np.ndarray, "trial unit"],
    image: Int[np.ndarray, " trial"],
    session: Int[np.ndarray, " trial"],
    ncsnr: Float[np.ndarray, " unit"],
    sources: Sources,
) -> None:
    """Refuse responses that do not repeat when their image does, although the noise ceiling says they do.

    That happens if sessions were swapped, their trials are in another order, the list of trials is another
    one, or responses and noise ceiling are not of one brain. Only what is certain is refused: a session whose
    repeat reliability is less than a quarter of what ncsnr predicts, and less than half of it after four
    standard errors are added; and an ncsnr that does not correlate over units with their repeat reliability,
    although it varies much more than that is uncertain.

    `zscored` is NaN where there is no measurement, `ncsnr` where it is unknown; `image` is any number that
    tells images apart, `session` a key of `sources.sessions`, and `sources` is what the ReleaseError names.
    """
    predicted = np.nan_to_num(ncsnr**2 / (1 + ncsnr**2))  # the variance that images explain
    if not predicted.any():
        return
    weight = predicted / predicted.sum()
    of_trials, of_units, error = repeat_reliability(zscored, image, weight)
    expected = float(weight @ predicted)
    suspects, certain = {}, False
    for number in np.unique(session).tolist():
        known = of_trials[(session == number) & np.isfinite(of_trials)]
        if known.size < 2:
            continue
        mean, uncertainty = known.mean(), known.std() / np.sqrt(known.size)
        certain |= bool(mean < expected / 4 and mean + 4 * uncertainty < expected / 2)
        if mean < expected / 2:  # a good session looks bad too where it is compared with a bad one
            suspects[sources.sessions[number]] = mean
    if certain:
        found = ", ".join(f"{mean:.2f} in {name}" for name, mean in suspects.items())
        raise ReleaseError(
            f"{subject}: expected a repeat reliability of {expected:.2f} of the variance, as {sources.ncsnr} "
            f"predicts, found {found}. Sessions were swapped, or they and {sources.trials} "
            f"do not belong together. {sources.advice([sources.trials, *suspects])}"
        )
    known = np.isfinite(ncsnr) & (error > 0)
    if known.sum() > ENOUGH_UNITS and predicted[known].var() > 4 * np.mean(error[known] ** 2):
        correlation = np.corrcoef(predicted[known], of_units[known])[0, 1]
        if correlation < 0.5:
            raise ReleaseError(
                f"{subject}: expected {sources.ncsnr} to be high where repeat reliability is, found a "
                f"correlation of {correlation:.2f} over units. It and "
                f"{', '.join(suspects) or 'the responses'} do not belong to the same brain or space. "
                f"{sources.advice([sources.ncsnr])}"
            )
