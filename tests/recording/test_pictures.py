import numpy as np
import pytest
from PIL import Image

from gnet.errors import ParameterError
from gnet.recording.pictures import FILTERS, resize


def test_resizing_is_pillow_with_colour_first():
    images = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 3), dtype=np.uint8)
    for name, filter in FILTERS.items():
        resized = resize(images, 9, name)
        assert resized.shape == (3, 3, 9, 9)
        expected = np.asarray(Image.fromarray(images[1]).resize((9, 9), filter))
        np.testing.assert_array_equal(resized[1], expected.transpose(2, 0, 1))


def test_bilinear_is_the_default_and_averages_what_it_skips():
    stripes = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 200
    assert abs(int(resize(stripes, 2)[0, 0, 0, 0]) - 100) < 20
    np.testing.assert_array_equal(resize(stripes, 2), resize(stripes, 2, "bilinear"))


def test_images_of_the_size_pass_unchanged():
    images = np.random.default_rng(0).integers(0, 255, (2, 7, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(images, 7, "lanczos"), images.transpose(0, 3, 1, 2))


def test_unknown_filter_and_size():
    with pytest.raises(ParameterError, match="unknown resampling filter 'cubic': expected one of nearest,"):
        resize(np.zeros((1, 4, 4, 3), dtype=np.uint8), 2, "cubic")
    with pytest.raises(ParameterError, match="expected at least 1 pixel, got 0"):
        resize(np.zeros((1, 4, 4, 3), dtype=np.uint8), 0)
