"""Responses of any laboratory are refused if they do not repeat when their image does."""

import numpy as np
import pytest

from gnet.errors import ReleaseError
from gnet.recording.repeat_reliability import Sources, check_repeat_reliability, repeat_reliability

SESSIONS, TRIALS, UNITS, IMAGES = 4, 60, 40, 80
SOURCES = Sources(
    {number: f"night-{number}.npy" for number in range(10, 10 + SESSIONS)},
    "trials.tsv",
    "units.tsv",
    lambda names: f"Correct {' and '.join(names)}.",
)


@pytest.fixture
def measured():
    """Responses whose variance image and noise share, by unit; image and session of each trial; ncsnr."""
    rng = np.random.default_rng(1)
    image = 1000 + rng.permutation(np.repeat(np.arange(IMAGES), 3))
    session = np.repeat(list(SOURCES.sessions), TRIALS)
    signal = rng.uniform(0.1, 0.8, UNITS)
    of_image = rng.standard_normal((1000 + IMAGES, UNITS))
    noise = rng.standard_normal((len(image), UNITS))
    zscored = np.sqrt(signal) * of_image[image] + np.sqrt(1 - signal) * noise
    zscored[:TRIALS, 3] = np.nan
    ncsnr = np.sqrt(signal / (1 - signal))
    ncsnr[4] = np.nan
    return zscored.astype(np.float32), image, session, ncsnr


def test_repeat_reliability_is_the_variance_that_images_explain(measured):
    zscored, image, _, ncsnr = measured
    weight = np.where(np.isnan(ncsnr), 0, 1 / (UNITS - 1))
    of_trials, of_units, error = repeat_reliability(zscored, image, weight)
    signal = ncsnr**2 / (1 + ncsnr**2)
    complete = np.isfinite(ncsnr) & np.isfinite(zscored).all(axis=0)
    distance = (of_units - signal)[complete] / error[complete]
    assert np.abs(distance).max() < 4
    assert np.nanmean(of_trials) == pytest.approx(np.nanmean(signal), abs=0.05)
    first = np.arange(len(zscored)) < 200
    of_trials, _, _ = repeat_reliability(zscored[first], image[first], weight)
    shown = np.bincount(image[first])[image[first]]
    np.testing.assert_array_equal(np.isnan(of_trials), shown == 1)


def test_responses_that_repeat_pass_in_any_order(measured):
    zscored, image, session, ncsnr = measured
    check_repeat_reliability("anna", zscored, image, session, ncsnr, SOURCES)
    order = np.random.default_rng(0).permutation(len(image))
    check_repeat_reliability("anna", zscored[order], image[order], session[order], ncsnr, SOURCES)


def test_a_session_with_trials_in_another_order_is_named(measured):
    zscored, image, session, ncsnr = measured
    of_session = session == 12
    zscored[of_session] = np.roll(zscored[of_session], 1, axis=0)
    with pytest.raises(
        ReleaseError,
        match=r"anna: expected a repeat reliability of 0.* of the variance, as units\.tsv predicts, found "
        r"-?0.* in .*night-12\.npy.*they and trials\.tsv do not belong together\. Correct trials\.tsv and",
    ):
        check_repeat_reliability("anna", zscored, image, session, ncsnr, SOURCES)


def test_an_ncsnr_of_other_units_is_refused(measured):
    zscored, image, session, ncsnr = measured
    with pytest.raises(
        ReleaseError, match=r"anna: expected units\.tsv to be high .* over units\. .* Correct units\.tsv\."
    ):
        check_repeat_reliability("anna", zscored, image, session, np.roll(ncsnr, 7), SOURCES)
