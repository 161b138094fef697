import numpy as np
import pytest

from gnet.models.gnet import Architecture
from gnet.models.partitions import PARTITIONS, bipartite, fair_share, layerwise


@pytest.mark.parametrize("name", PARTITIONS)
@pytest.mark.parametrize("width", [4, 64])
def test_every_feature_is_in_just_one_part(name, width):
    masks = np.stack(list(PARTITIONS[name](width).values()))
    assert masks.shape[1] == sum(Architecture(227, width).features)
    assert (masks.sum(0) == 1).all()


def test_halves_are_the_two_grids():
    lower, upper = bipartite(8).values()
    fine, coarse = Architecture(75, 8).features
    assert lower[:fine].all()
    assert not lower[fine:].any()
    assert (upper == ~lower).all()
    assert upper.sum() == coarse


def test_first_layer_has_a_fair_share_twice_that_of_the_others():
    np.testing.assert_allclose(fair_share(layerwise(64)), [25, *[12.5] * 6])
