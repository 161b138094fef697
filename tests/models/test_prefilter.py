"""Weights of the prefilter come from where the parameter says, or not at all."""

import hashlib
import os
import urllib.request

import numpy as np
import pytest
import torch

from gnet.errors import ModelFileError, ParameterError
from gnet.models.prefilter import (
    ALEXNET_URL,
    Prefilter,
    alexnet_weights,
    download,
    gabor_weights,
    prefilter_weights,
    random_weights,
)


def assert_fit_the_layers(weights):
    Prefilter().load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def alexnet_state():
    """The names and shapes of torchvision's first two layers, as Parameters like those of its old files."""
    random = torch.Generator().manual_seed(0)
    shapes = {
        "features.0.weight": (64, 3, 11, 11),
        "features.0.bias": (64,),
        "features.3.weight": (192, 64, 5, 5),
        "features.3.bias": (192,),
        "classifier.6.bias": (10,),
    }
    return {name: torch.nn.Parameter(torch.randn(shape, generator=random)) for name, shape in shapes.items()}


@pytest.fixture
def save(tmp_path):
    """Write an object as torch does; its path."""

    def save(thing, **options):
        path = tmp_path / "from" / "alexnet.pth"
        path.parent.mkdir(exist_ok=True)
        torch.save(thing, path, **options)
        return path

    return save


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_alexnet_file(save, zipped):
    state = alexnet_state()
    path = save(state, _use_new_zipfile_serialization=zipped)
    weights = prefilter_weights("alexnet", path=path, sha256=sha256(path)[:8].upper())
    for ours, theirs in (("conv1", "features.0"), ("conv2", "features.3")):
        for kind in ("weight", "bias"):
            np.testing.assert_array_equal(weights[f"{ours}.{kind}"], state[f"{theirs}.{kind}"].detach())
    assert len(weights) == 4


def test_alexnet_without_a_path():
    with pytest.raises(ParameterError, match="`alexnet` needs a path for torchvision's file, got none"):
        prefilter_weights("alexnet")


def test_unknown_source():
    with pytest.raises(ParameterError, match="prefilter: expected alexnet, gabor or random, got 'imagenet'"):
        prefilter_weights("imagenet")


def test_alexnet_file_with_another_checksum(save):
    path = save(alexnet_state())
    with pytest.raises(ModelFileError) as caught:
        prefilter_weights("alexnet", path=path)
    for words in (str(path), "begins with 4df8aa71", f"got {sha256(path)}", "delete it and run again"):
        assert words in str(caught.value)
    assert path.exists()  # it is the user's


def test_file_without_the_layers(save):
    state = alexnet_state()
    del state["features.3.bias"]
    path = save(state)
    with pytest.raises(
        ModelFileError, match=r"expected torchvision's AlexNet .*KeyError\('features.3.bias'\)"
    ):
        alexnet_weights(path, sha256=sha256(path))


def test_file_that_is_no_torch_file(tmp_path):
    path = tmp_path / "alexnet.pth"
    path.write_text("<html>Service unavailable</html>")
    with pytest.raises(ModelFileError, match="expected torchvision's AlexNet with") as caught:
        alexnet_weights(path, sha256=sha256(path))
    assert ALEXNET_URL in str(caught.value)


def test_layers_of_another_shape(save):
    state = alexnet_state()
    state["features.0.weight"] = torch.zeros(96, 3, 11, 11)
    path = save(state)
    with pytest.raises(ModelFileError, match=r"expected prefilter weights .*got .*\(96, 3, 11, 11\)"):
        alexnet_weights(path, sha256=sha256(path))


class Malicious:
    """Makes a folder when a plain unpickler reads it."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_malicious_pickle_does_not_run(tmp_path, save, zipped):
    folder = tmp_path / "ran"
    path = save({**alexnet_state(), "extra": Malicious(folder)}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelFileError, match="expected torchvision's AlexNet"):
        alexnet_weights(path, sha256=sha256(path))
    assert not folder.exists()
    torch.load(path, weights_only=False)  # where it is let, it does run
    assert folder.exists()


def test_download_into_a_new_folder(tmp_path, save):
    source = save(alexnet_state())
    target = tmp_path / "data" / "raw" / "alexnet.pth"
    download(source.as_uri(), target, sha256=sha256(source))
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["alexnet.pth"]


def test_a_file_that_is_there_is_not_fetched(save, monkeypatch):
    path = save(alexnet_state())
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("fetched"))
    prefilter_weights("alexnet", path=path, sha256=sha256(path))


def test_a_missing_file_is_fetched(tmp_path, save):
    source, target = save(alexnet_state()), tmp_path / "alexnet.pth"
    weights = prefilter_weights("alexnet", path=target, url=source.as_uri(), sha256=sha256(source))
    assert target.exists()
    assert_fit_the_layers(weights)


def test_download_with_another_checksum_leaves_nothing(tmp_path, save):
    source, target = save(alexnet_state()), tmp_path / "data" / "alexnet.pth"
    with pytest.raises(ModelFileError, match="expected a SHA-256 that begins with 4df8aa71, got") as caught:
        download(source.as_uri(), target, sha256="4df8aa71")
    assert str(caught.value).startswith(source.as_uri())
    assert ".part" not in str(caught.value)
    assert not target.parent.exists()


@pytest.mark.parametrize("url", ["file:///nowhere/alexnet.pth", "nowhere/alexnet.pth", "gopher://nowhere/a"])
def test_unreachable_download_leaves_nothing(tmp_path, url):
    target = tmp_path / "data" / "alexnet.pth"
    with pytest.raises(ModelFileError, match=f"could not be fetched from {url}") as caught:
        download(url, target, sha256="4df8aa71")
    assert "put it there, or set `prefilter.source: gabor`" in str(caught.value)
    assert not target.parent.exists()


def test_an_interrupted_download_leaves_nothing(tmp_path, save, monkeypatch):
    source, target = save(alexnet_state()), tmp_path / "data" / "alexnet.pth"
    monkeypatch.setattr(
        "gnet.models.prefilter.verify_checksum", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        download(source.as_uri(), target, sha256="4df8aa71")
    assert not target.parent.exists()


@pytest.mark.parametrize("source", ["gabor", "random"])
def test_weights_made_in_place_fit_the_layers(source):
    weights, again = prefilter_weights(source), prefilter_weights(source)
    assert_fit_the_layers(weights)
    for name, array in weights.items():
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
        np.testing.assert_array_equal(array, again[name])


def test_random_weights_follow_the_seed():
    assert not np.array_equal(random_weights(0)["conv1.weight"], random_weights(1)["conv1.weight"])


def test_gabor_filters_are_of_unit_norm_and_blind_to_brightness():
    conv1 = gabor_weights()["conv1.weight"].astype(float)
    luminance = conv1.sum(1)
    np.testing.assert_allclose((luminance**2).sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(luminance.sum((1, 2)), 0, atol=1e-5)
    np.testing.assert_array_equal(conv1[:, 0], conv1[:, 1])  # the same for every colour


@torch.no_grad()
def test_gabor_maps_prefer_their_orientation():
    """A grating at each of the 8 orientations excites the channel of that orientation most."""
    prefilter = Prefilter()
    prefilter.load_state_dict({name: torch.from_numpy(array) for name, array in gabor_weights().items()})
    angle = torch.arange(8)[:, None, None] * torch.pi / 8
    y, x = torch.meshgrid(torch.arange(75.0), torch.arange(75.0), indexing="ij")
    grating = torch.cos(2 * torch.pi / 4.5 * (torch.cos(angle) * x + torch.sin(angle) * y))
    maps = prefilter(grating[:, None].expand(-1, 3, -1, -1))
    energy = maps[:, 16:32].mean((2, 3))[:, 8:]  # the wide Gaussian window, the high frequency
    assert energy.argmax(1).tolist() == list(range(8))
