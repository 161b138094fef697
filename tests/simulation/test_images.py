import numpy as np
import pytest

from gnet.errors import ParameterError
from gnet.simulation.images import LARGEST, LAYERS, ROUNDNESS, SMALLEST, dead_leaves, leaf_sizes


@pytest.fixture(scope="module")
def images():
    return dead_leaves(64, pixels=96, seed=1)


def test_the_amplitude_spectrum_falls_about_as_one_over_frequency(images):
    grey = images.mean(-1) - images.mean((1, 2, 3))[:, None, None]
    window = np.hanning(96)
    power = (np.abs(np.fft.fft2(grey * window[:, None] * window)) ** 2).mean(0)
    frequency = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96)) * 96
    cycles = np.arange(2, 40)
    amplitude = [np.sqrt(power[np.abs(frequency - cycle) < 0.5].mean()) for cycle in cycles]
    slope = np.polyfit(np.log(cycles), np.log(amplitude), 1)[0]
    assert -1.25 < slope < -0.85


def test_contrast_is_sparse_as_in_photographs_and_not_gaussian(images):
    step = np.diff(images.mean(-1), axis=2)
    kurtosis = ((step - step.mean()) ** 4).mean() / step.var() ** 2
    assert kurtosis > 6  # Gaussian noise of any spectrum has 3


def test_colours_use_the_range_and_rarely_leave_it(images):
    assert 100 < images.mean() < 150
    assert images.std() > 35
    assert np.isin(images, [0, 255]).mean() < 0.1


def test_images_differ_from_each_other_in_all_blocks(images):
    assert len(np.unique(images.reshape(64, -1), axis=0)) == 64
    blocks = dead_leaves(65, pixels=16, seed=1)
    assert (blocks[64] != blocks[0]).any()


def test_the_seed_decides_and_a_longer_series_begins_with_the_shorter():
    few, many = dead_leaves(3, pixels=24, seed=5), dead_leaves(70, pixels=24, seed=5)
    np.testing.assert_array_equal(few, many[:3])
    assert (dead_leaves(3, pixels=24, seed=6) != few).any()


def test_leaves_cover_the_image_in_the_promised_layers_with_sizes_of_a_cubic_law():
    pixels = 400
    sizes = leaf_sizes(pixels, np.random.default_rng(0))
    assert sizes.min() >= SMALLEST * pixels
    assert sizes.max() <= LARGEST * pixels
    surround = (pixels + 2 * sizes) ** 2
    covered = (np.pi * np.mean(ROUNDNESS) * sizes**2 / surround).sum()
    assert covered == pytest.approx(LAYERS, rel=0.02)
    # of p(r) ~ r^-3 there are four times fewer leaves, for the same surround, at twice the size
    count = [(1 / surround[(sizes > low) & (sizes < 2 * low)]).sum() for low in (10, 20, 40)]
    assert count[0] / count[1] == pytest.approx(4, rel=0.1)
    assert count[1] / count[2] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(("count", "pixels"), [(0, 32), (3, 7)])
def test_nothing_to_paint_is_refused(count, pixels):
    with pytest.raises(ParameterError, match=rf"at least 8 pixels a side, got {count} of {pixels}\. Correct"):
        dead_leaves(count, pixels, seed=0)
