"""Predicting leaves no trace in the network, and neither batches nor the cache change what is predicted."""

import numpy as np
import pytest
import torch

from gnet.errors import ParameterError
from gnet.evaluation.prediction import FrozenMaps, PrefilteredImages, predict, read_ahead
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import gabor_weights

PIXELS = 47
CACHE = 2**30


def make_network(**options):
    torch.manual_seed(0)
    network = GNet(
        Architecture(PIXELS, trunk_width=4, **options),
        {"subj01": 3, "subj02": 2},
        prefilter=gabor_weights(),
        input_mean=np.array([0.4, 0.5, 0.6]),
    )
    with torch.no_grad():
        for readout in network.readouts.values():
            readout.weight.normal_()
    return network


@pytest.fixture
def network():
    return make_network()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 3, PIXELS, PIXELS), dtype=np.uint8)


ROWS = np.array([7, 2, 2, 11, 0, 7])


@pytest.mark.parametrize("cache_bytes", [0, CACHE])
def test_predictions_are_the_evaluated_networks(network, images, cache_bytes):
    found = predict(
        network, "subj01", PrefilteredImages(network, images, ROWS, cache_bytes=cache_bytes), ROWS
    )
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(images[ROWS]), "subj01").numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.ptp(found, axis=0).min() > 0.01  # different images, different predictions


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_batches_do_not_change_predictions(network, images, batch_size):
    prefiltered = PrefilteredImages(network, images, ROWS)
    whole = predict(network, "subj02", prefiltered, ROWS)
    found = predict(network, "subj02", prefiltered, ROWS, batch_size=batch_size)
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_bitwise_as_before(network, images, training):
    network.train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    predict(network, "subj01", PrefilteredImages(network, images, ROWS, cache_bytes=CACHE), ROWS)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(part.training == training for part in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_trunk_in_another_mode_than_the_rest_stays_in_it(network, images):
    network.train()
    network.trunk.eval()
    modes = [part.training for part in network.modules()]
    predict(network, "subj01", PrefilteredImages(network, images, ROWS), ROWS)
    assert [part.training for part in network.modules()] == modes


def test_the_mode_is_restored_after_an_error(network, images):
    network.train()
    prefiltered = PrefilteredImages(network, images[:5], ROWS[ROWS < 5])
    with pytest.raises(IndexError):
        predict(network, "subj01", prefiltered, ROWS)
    assert all(part.training for part in network.modules())


def test_unknown_subject(network, images):
    with pytest.raises(ParameterError, match="subj08: this model has readouts for subj01, subj02"):
        predict(network, "subj08", PrefilteredImages(network, images, ROWS), ROWS)


class Counted(np.ndarray):
    """Images that know how often each row was read."""

    @classmethod
    def of(cls, images):
        counted = images.view(cls)
        counted.reads = np.zeros(len(images), int)
        return counted

    def __getitem__(self, rows):
        self.reads[rows] += 1
        return np.asarray(self)[rows]


def test_cache_reads_each_announced_image_and_no_other(network, images):
    counted = Counted.of(images)
    prefiltered = PrefilteredImages(network, counted, ROWS, cache_bytes=CACHE)
    after = counted.reads.copy()
    assert after[[0, 2, 7, 11]].min() >= 1
    assert after[[1, 3, 4, 5, 6, 8, 9, 10]].max() == 0
    predict(network, "subj01", prefiltered, ROWS)
    assert (counted.reads == after).all()


def test_without_a_cache_a_repeated_image_is_read_once_a_batch(network, images):
    counted = Counted.of(images)
    prefiltered = PrefilteredImages(network, counted, ROWS)
    counted.reads[:] = 0
    assert prefiltered(ROWS).shape[0] == len(ROWS)
    assert counted.reads.tolist() == [1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1]


def test_cache_holds_what_would_be_computed(network, images):
    rows = np.random.default_rng(1).permutation(150) % 12
    many = np.concatenate([images] * 13)[:150]  # more than a block of the cache
    every = np.arange(150)
    cached, computed = (PrefilteredImages(network, many, every, cache_bytes=size) for size in (CACHE, 0))
    assert cached.cache is not None
    assert computed.cache is None
    torch.testing.assert_close(cached(rows + 12), computed(rows + 12))


def test_cache_only_within_its_budget(network, images):
    needed = 12 * network.prefiltered(torch.from_numpy(images[:1])).nbytes
    rows = np.arange(12)
    assert PrefilteredImages(network, images, rows, cache_bytes=needed).cache.nbytes == needed
    assert PrefilteredImages(network, images, rows, cache_bytes=needed - 1).cache is None


def test_a_trained_prefilter_is_never_cached(images):
    network = make_network(trainable_prefilter=True)
    prefiltered = PrefilteredImages(network, images, ROWS, cache_bytes=CACHE)
    assert prefiltered.cache is None
    before = prefiltered(ROWS).detach()
    with torch.no_grad():
        network.prefilter.conv2.bias += 1
    assert not torch.allclose(prefiltered(ROWS), before)


def test_a_row_that_was_not_announced_is_no_other_image(network, images):
    prefiltered = PrefilteredImages(network, images, ROWS, cache_bytes=CACHE)
    with pytest.raises(AssertionError, match="rows that were not announced"):
        prefiltered(np.array([7, 3]))


@pytest.mark.parametrize("cache_bytes", [0, CACHE])
def test_frozen_maps_are_the_evaluated_trunks(network, images, cache_bytes):
    network.eval()
    frozen = FrozenMaps(network, images, ROWS, cache_bytes=cache_bytes)
    assert (frozen.cache is None) == (cache_bytes == 0)
    with torch.no_grad():
        expected = network.trunk(network.prefiltered(torch.from_numpy(images[ROWS])))
    for found, grid in zip(frozen(ROWS), expected, strict=True):
        assert not found.requires_grad
        torch.testing.assert_close(found, grid, rtol=1e-4, atol=1e-5)
    found = predict(network, "subj01", frozen, ROWS, batch_size=4)
    direct = predict(network, "subj01", PrefilteredImages(network, images, ROWS), ROWS)
    np.testing.assert_allclose(found, direct, rtol=1e-4, atol=1e-5)


def test_frozen_maps_once_cached_never_run_the_network(network, images):
    network.eval()
    counted = Counted.of(images)
    frozen = FrozenMaps(network, counted, ROWS, cache_bytes=CACHE)
    before, reads = frozen(ROWS), counted.reads.copy()
    with torch.no_grad():
        network.trunk.conv6b.conv.bias += 1
    for found, grid in zip(frozen(ROWS), before, strict=True):
        assert torch.equal(found, grid)
    assert (counted.reads == reads).all()
    assert reads[[1, 3, 4, 5, 6, 8, 9, 10]].max() == 0


def test_frozen_maps_only_within_their_budget(network, images):
    network.eval()
    rows = np.arange(12)
    needed = sum(grid.nbytes for grid in FrozenMaps(network, images, rows, cache_bytes=CACHE).cache)
    assert FrozenMaps(network, images, rows, cache_bytes=needed).cache is not None
    assert FrozenMaps(network, images, rows, cache_bytes=needed - 1).cache is None


def test_maps_of_a_trunk_in_training_are_not_frozen(network, images):
    network.train()
    with pytest.raises(AssertionError, match="a frozen trunk is evaluated"):
        FrozenMaps(network, images, ROWS, cache_bytes=CACHE)


def test_frozen_maps_of_a_row_that_was_not_announced_are_no_other_images(network, images):
    frozen = FrozenMaps(network.eval(), images, ROWS, cache_bytes=CACHE)
    with pytest.raises(AssertionError, match="rows that were not announced"):
        frozen(np.array([7, 3]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("readout", ["layerwise", "single_field"])
@pytest.mark.parametrize("cache_bytes", [0, CACHE])
def test_cuda_predicts_as_the_cpu_does(monkeypatch, images, readout, cache_bytes):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    network = make_network(readout=readout)
    expected = predict(network, "subj01", PrefilteredImages(network, images, ROWS), ROWS)
    network.to("cuda")
    found = predict(
        network, "subj01", PrefilteredImages(network, images, ROWS, cache_bytes=cache_bytes), ROWS
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_reading_ahead_keeps_the_order_and_reads_one_item_more_than_is_used():
    read = []

    def reading(item):
        read.append(item)
        return item * 10

    found = []
    for item, value in read_ahead(reading, range(5)):
        found.append((item, value))
        assert len(read) <= item + 2
    assert found == [(item, item * 10) for item in range(5)]
    assert read == list(range(5))
    assert list(read_ahead(reading, [])) == []


def test_an_error_while_reading_ahead_arrives_where_the_item_is_used():
    ahead = read_ahead(lambda item: 1 / item, [1, 0])
    assert next(ahead) == (1, 1.0)
    with pytest.raises(ZeroDivisionError):
        next(ahead)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_images_on_the_device_are_not_read_again(images):
    """Where prefiltered maps do not fit into the budget and the images do."""
    network = make_network().cuda()
    counted = Counted.of(images)
    pixels = len(np.unique(ROWS)) * images[0].nbytes
    assert PrefilteredImages(network, counted, ROWS, cache_bytes=pixels - 1).resident is None
    resident = PrefilteredImages(network, counted, ROWS, cache_bytes=pixels)
    reads = counted.reads.copy()
    assert resident.cache is None
    assert resident.read(ROWS) is None
    torch.testing.assert_close(resident(ROWS), PrefilteredImages(network, images, ROWS)(ROWS))
    assert (counted.reads == reads).all()
