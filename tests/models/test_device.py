"""The device parameter means one device, or says why it cannot."""

import pytest
import torch

from gnet.errors import DeviceError, ParameterError
from gnet.models import device, nonlinearity
from gnet.models.device import free_memory, precision, resolve_device, resolve_precision


@pytest.mark.parametrize("name", ["gpu", "cuda:first", "cuda:", "cuda:²", "cpu:0", "mps:0", ""])
def test_unknown_device(name):
    with pytest.raises(DeviceError, match=f"expected auto, cpu, cuda, cuda:n or mps, got '{name}'"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_where_there_is_none(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"'{name}' was requested, but torch finds 0 CUDA devices"):
        resolve_device(name)


def test_a_cuda_device_beyond_the_last(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="'cuda:2' was requested, but torch finds 2 CUDA devices"):
        resolve_device("cuda:2")


def test_mps_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="'mps' was requested, but this machine has none"):
        resolve_device("mps")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda:0"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_best_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(expected)


def test_precision_holds_inside_and_nowhere_else():
    cpu = torch.device("cpu")
    left, right = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    for name, kept in (("float32", True), ("tf32", True), ("bfloat16", False)):
        with precision(name, cpu):
            assert ((left @ right).dtype == torch.float32) == kept
            units = torch.backends.cuda.matmul, torch.backends.cudnn.conv
            assert {unit.fp32_precision for unit in units} == {"ieee" if name == "float32" else "tf32"}
        assert (left @ right).dtype == torch.float32


def test_precision_is_put_back_after_an_error():
    before = torch.backends.cudnn.conv.fp32_precision
    with pytest.raises(ZeroDivisionError), precision("float32", torch.device("cpu")):
        raise ZeroDivisionError
    assert torch.backends.cudnn.conv.fp32_precision == before


def test_unknown_precision():
    expected = "precision: expected float32, tf32, bfloat16, got 'half'"
    with pytest.raises(ParameterError, match=expected), precision("half", torch.device("cpu")):
        pass


@pytest.mark.parametrize(
    ("groups", "folder", "limit", "use"),
    [
        ("0::/slurm/job_7/step_0\n", "", "memory.max", "memory.current"),
        (
            "4:cpu,cpuacct:/\n9:memory:/slurm/job_7/step_0\n",
            "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
    ],
)
def test_memory_within_the_limit_of_a_job(monkeypatch, tmp_path, groups, folder, limit, use):
    (tmp_path / "meminfo").write_text("MemTotal: 99999 kB\nMemAvailable:  8000 kB\n")
    (tmp_path / "groups").write_text(groups)
    job = tmp_path / folder / "slurm" / "job_7"
    (job / "step_0").mkdir(parents=True)
    for name, path in (("MEMINFO", "meminfo"), ("GROUPS", "groups"), ("CGROUP", "")):
        monkeypatch.setattr(device, name, tmp_path / path)
    assert free_memory(torch.device("cpu")) == 8000 * 1024
    (job / "step_0" / limit).write_text("max\n")
    (job / limit).write_text("4096000\n")
    (job / use).write_text("96000\n")
    assert free_memory(torch.device("cpu")) == 4_000_000


@pytest.mark.parametrize(
    ("flags", "compiled", "device", "expected"),
    [
        ({"avx512_bf16": True}, True, "cpu", "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, True, "cpu", "bfloat16"),
        ({"avx512_bf16": False}, True, "cpu", "float32"),
        ({}, True, "cpu", "float32"),
        ({"avx512_bf16": True}, False, "cpu", "float32"),
        ({"avx512_bf16": True}, True, "cuda", "float32"),
    ],
)
def test_auto_takes_the_precision_that_is_faster(monkeypatch, flags, compiled, device, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, **flags})
    monkeypatch.setattr(nonlinearity, "load", lambda: (object() if compiled else None, ""))
    assert resolve_precision("auto", torch.device(device)) == expected
    assert resolve_precision("tf32", torch.device(device)) == "tf32"
