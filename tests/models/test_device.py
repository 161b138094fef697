"""The device parameter means one device, or says why it cannot."""

import pytest
import torch

from gnet.errors import DeviceError
from gnet.models.device import resolve_device


@pytest.mark.parametrize("name", ["gpu", "cuda:first", "cuda:", "cuda:²", "cpu:0", "mps:0", ""])
def test_unknown_device(name):
    with pytest.raises(DeviceError, match=f"expected auto, cpu, cuda, cuda:n or mps, got '{name}'"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_where_there_is_none(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"'{name}' was asked for, but torch finds 0 CUDA devices here"):
        resolve_device(name)


def test_a_cuda_device_beyond_the_last(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="'cuda:2' was asked for, but torch finds 2 CUDA devices here"):
        resolve_device("cuda:2")


def test_mps_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="'mps' was asked for, but this machine has none"):
        resolve_device("mps")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda:0"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_best_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(expected)
