import numpy as np
import pytest

from gnet.errors import ParameterError
from gnet.recording.noise_ceiling import ncsnr, noise_ceiling


def test_ncsnr_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    image = rng.permutation(np.repeat(np.arange(12), 3))
    responses = rng.standard_normal((36, 4)) * [0.2, 0.5, 0.9, 1.4]
    noise = np.mean([responses[image == i].var(axis=0, ddof=1) for i in range(12)], axis=0)
    expected = np.sqrt(np.maximum(0, 1 - noise)) / np.sqrt(noise)
    np.testing.assert_allclose(ncsnr(responses, image), expected)
    assert ncsnr(responses, image)[3] == 0  # more noise than variance: no signal, not a negative one


def test_only_images_of_exactly_three_trials_count():
    rng = np.random.default_rng(1)
    image = np.array([3, 1, 3, 2, 3, 1, 4, 4, 4, 4, 8, 8, 8])
    responses = rng.standard_normal((13, 2)) / 2
    chosen = np.isin(image, [3, 8])
    np.testing.assert_array_equal(ncsnr(responses, image), ncsnr(responses[chosen], image[chosen]))


def test_the_number_of_repetitions_is_a_parameter():
    rng = np.random.default_rng(5)
    image = np.array([3, 1, 3, 2, 2, 1, 1])
    responses = rng.standard_normal((7, 2)) / 2
    pairs = np.isin(image, [2, 3])
    noise = np.mean([responses[image == i].var(axis=0, ddof=1) for i in (2, 3)], axis=0)
    expected = np.sqrt(np.maximum(0, 1 - noise) / noise)
    np.testing.assert_allclose(ncsnr(responses, image, repetitions=2), expected)
    assert np.isnan(ncsnr(responses[pairs], image[pairs])).all()


def test_ncsnr_recovers_what_was_planted():
    rng = np.random.default_rng(2)
    signal = rng.standard_normal((4000, 1)) * np.sqrt([0.1, 0.3, 0.6])
    noise = rng.standard_normal((3, 4000, 3)) * np.sqrt([0.9, 0.7, 0.4])
    responses = (signal + noise).reshape(-1, 3)
    image = np.tile(np.arange(4000), 3)
    np.testing.assert_allclose(ncsnr(responses, image) ** 2, [0.1 / 0.9, 0.3 / 0.7, 0.6 / 0.4], rtol=0.1)


def test_nan_trials_take_their_image_out_for_that_voxel_only():
    rng = np.random.default_rng(3)
    image = np.repeat([0, 1, 2], 3)
    responses = rng.standard_normal((9, 3)) / 2
    damaged = responses.copy()
    damaged[4, 1] = np.nan
    damaged[:, 2] = np.nan
    scores = ncsnr(damaged, image)
    assert scores[0] == ncsnr(responses, image)[0]
    np.testing.assert_allclose(scores[1], ncsnr(responses[image != 1], image[image != 1])[1])
    assert np.isnan(scores[2])


def test_ncsnr_is_nan_where_nothing_repeats():
    assert np.isnan(ncsnr(np.ones((4, 2)), np.arange(4))).all()
    assert np.isnan(ncsnr(np.ones((3, 2)), np.zeros(3, dtype=int))).all()


def test_ceiling_counts_the_trials_of_each_image():
    snr = np.array([0.3, 0.9, 0, np.nan])
    a, b, c = 7, 4, 2
    repetitions = np.repeat([3, 2, 1], [a, b, c])
    noise = (a / 3 + b / 2 + c) / (a + b + c)
    np.testing.assert_allclose(noise_ceiling(snr, repetitions), 100 * snr**2 / (snr**2 + noise))
    np.testing.assert_allclose(noise_ceiling(snr, 3), noise_ceiling(snr, np.full(9, 3)))
    assert noise_ceiling(snr.astype(np.float32)).dtype == np.float32
    assert noise_ceiling(snr)[2] == 0


def test_images_never_shown_have_no_ceiling():
    with pytest.raises(
        ParameterError, match="expected one trial or more for each image, found the smallest of them 0"
    ):
        noise_ceiling(np.ones(2), np.array([3, 0]))
    with pytest.raises(ParameterError, match="found none"):
        noise_ceiling(np.ones(2), np.array([], dtype=int))
