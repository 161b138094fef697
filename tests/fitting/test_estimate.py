"""What a fit will need is said before it starts, is about right, and stops a fit that cannot end well."""

import ctypes
import logging
import platform
import threading
import time
from pathlib import Path

import pytest
import torch

from gnet.errors import DeviceError, StorageError
from gnet.fitting import estimate as estimate_module
from gnet.fitting.estimate import MemoryEstimate, check_resources, memory_estimate
from gnet.fitting.stepper import Procedure, Stepper
from gnet.models.gnet import Architecture, GNet

CPU = torch.device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="looks into /proc and tells glibc to tidy up")
@pytest.mark.parametrize(
    ("trunk", "update"),
    [
        ("trained", "simultaneous"),
        ("trained", "alternating"),
        ("drifting", "alternating"),
        ("frozen", "simultaneous"),
    ],
)
def test_memory_is_about_what_a_batch_takes(trunk, update):
    """Of a network large enough for its arrays to outweigh everything else: within a factor of two."""
    network = GNet(Architecture(75, trunk_width=16), {"subj01": 300}).train(trunk != "frozen")
    procedure = Procedure(trunk=trunk, update=update, batch_size=60)
    stepper = Stepper(network, procedure)
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 75, 75), dtype=torch.uint8, generator=random)
    target = torch.randn(60, 300, generator=random)
    with torch.no_grad():
        trunk_input = network.prefiltered(images)
        if trunk == "frozen":
            trunk_input = network.trunk(trunk_input)
    stepper.step("subj01", trunk_input, target)  # what is made once
    ctypes.CDLL(None).malloc_trim(0)
    before = anonymous()
    with Highest() as highest:
        stepper.step("subj01", trunk_input, target)
    assert 0.5 < (highest.bytes - before) / memory_estimate(network, procedure, images=0, scored=0).batch < 2


def anonymous():
    """Bytes that the process holds and that are no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Highest:
    """The most that was held while inside, looked at every millisecond."""

    def __enter__(self):
        self.bytes, self.inside = anonymous(), True
        self.watching = threading.Thread(target=self.watch)
        self.watching.start()
        return self

    def watch(self):
        while self.inside:
            self.bytes = max(self.bytes, anonymous())
            time.sleep(0.001)

    def __exit__(self, *_):
        self.inside = False
        self.watching.join()


def test_needs_follow_the_sizes(few):
    network = few.network(["subj01"])
    kept = Procedure(batch_size=30)
    whole = memory_estimate(network, kept, images=100, scored=7)
    _, maps, side, _ = network.prefiltered(torch.from_numpy(few.images[:1])).shape
    assert whole.images == 100 * maps * side * side * 4
    assert memory_estimate(network, Procedure(batch_size=60), images=100, scored=0).batch == 2 * whole.batch
    assert memory_estimate(network, Procedure(cache_bytes=whole.images - 1), images=100, scored=0).images == 0
    assert memory_estimate(network, Procedure(trunk="frozen"), images=100, scored=0).batch < whole.batch
    parameters = sum(parameter.nbytes for parameter in network.parameters())
    assert whole.weights == 4 * parameters
    assert whole.memory == whole.images + whole.batch + whole.weights
    scoring = memory_estimate(network, kept, images=100, scored=10**9)
    assert scoring.memory == whole.images + whole.weights + 36 * 10**9


def test_the_network_and_the_random_numbers_stay_as_they_are(few):
    network = few.network(dropout=0.5)
    stepper = Stepper(network, Procedure(batch_size=20))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.get_rng_state()
    memory_estimate(network, stepper.procedure, images=10, scored=10)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_fit_says_what_it_needs(few, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "gnet"):
        few.fit(few.network(), epochs=2, state=tmp_path / "not" / "yet" / "state.pt")
    said = [record.message for record in caplog.records]
    assert any(
        "fit: needs " in line and "MB of memory (" in line and "MB on the disk (" in line for line in said
    )


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (
            8 * 10**9,
            "V1: expected 10.0 GB of memory on cpu (4.0 GB for images, 5.0 GB for a batch of 100, 1.0 GB for "
            "optimisers), found 8.0 GB free. Set fitting.cache_gigabytes to 2.0 or less: slower, with the "
            "same results.",
        ),
        (3 * 10**9, "Set fitting.cache_gigabytes to 0 and fitting.batch_size to 40 or less."),
        (10**8, "Set fitting.cache_gigabytes to 0 and fitting.batch_size to 2 or less."),
    ],
)
def test_too_little_memory(monkeypatch, free, expected):
    monkeypatch.setattr(estimate_module, "free_memory", lambda _: free)
    needed = MemoryEstimate(images=4 * 10**9, batch=5 * 10**9, weights=10**9, scoring=0, disk=0)
    with pytest.raises(DeviceError) as caught:
        check_resources(needed, Procedure(), CPU, None, "V1")
    assert expected in str(caught.value)


def test_enough_memory_and_memory_that_nobody_knows(monkeypatch):
    needed = MemoryEstimate(images=4 * 10**9, batch=5 * 10**9, weights=10**9, scoring=0, disk=0)
    for free in (10 * 10**9, None):
        monkeypatch.setattr(estimate_module, "free_memory", lambda _, free=free: free)
        check_resources(needed, Procedure(), CPU, None, "V1")


def test_too_little_disk(tmp_path):
    needed = MemoryEstimate(images=0, batch=0, weights=0, scoring=0, disk=10**18)
    with pytest.raises(StorageError, match=r"state.pt: expected room for 1000000000.0 GB, .*Delete files"):
        check_resources(needed, Procedure(), CPU, tmp_path / "not" / "yet" / "state.pt", "V1")


def test_nothing_is_fitted_where_memory_does_not_suffice(few, monkeypatch):
    monkeypatch.setattr(estimate_module, "free_memory", lambda _: 1000)
    network = few.network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(DeviceError, match=r"found 1\.0 kB free"):
        few.fit(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
