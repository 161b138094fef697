"""A fit that was stopped ends with the numbers of one that never was."""

import logging
import multiprocessing
import os
import random as stdlib_random
import time
from dataclasses import replace

import pytest
import torch

import killed_fit
from gnet.fitting import loop
from gnet.fitting.batches import Trials

EPOCHS = 3
BATCHES = 6  # of an epoch


class Stopped(Exception):
    """What the test throws into a fit."""


@pytest.fixture
def problem(problem):
    """The first trials only: what is tested is that numbers are the same, not that they are good."""

    def first(trials, count):
        return {s: Trials(t.image_row[:count], t.response[:count]) for s, t in trials.items()}

    return replace(problem, training=first(problem.training, 90), holdout=first(problem.holdout, 30))


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def fitted(problem, state, **options):
    network = problem.network(dropout=0.5)
    history = problem.fit(network, epochs=EPOCHS, state=state, **options)
    return weights(network), history.drop(columns="seconds")


@pytest.mark.parametrize("options", [{}, {"batches": "reshuffled", "update": "simultaneous"}])
@pytest.mark.parametrize("steps", [1, 15])
def test_stopped_after_some_steps(problem, tmp_path, monkeypatch, caplog, steps, options):
    caplog.set_level(logging.INFO)
    expected, expected_history = fitted(problem, None, **options)
    state = tmp_path / "fit.pt"
    step, taken = loop.Stepper.step, 0

    def stop(self, *arguments):
        nonlocal taken
        taken += 1
        if taken > steps:
            raise Stopped
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Stepper, "step", stop)
        with pytest.raises(Stopped):
            fitted(problem, state, **options)
    assert state.exists() == (steps > BATCHES)
    found, history = fitted(problem, state, **options)
    assert ("resuming after epoch" in caplog.text) == (steps > BATCHES)
    assert_same(found, expected)
    assert history.equals(expected_history)


def test_stopped_while_the_state_is_written(problem, tmp_path, monkeypatch):
    expected, _ = fitted(problem, None)
    state = tmp_path / "fit.pt"
    write, written = torch.save, 0

    def stop(content, file):
        nonlocal written
        written += 1
        if written == 3:
            file.write(b"half")
            raise Stopped
        write(content, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", stop)
        with pytest.raises(Stopped):
            fitted(problem, state)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.pt"]
    found, _ = fitted(problem, state)
    assert_same(found, expected)


def test_a_finished_fit_is_not_repeated(problem, tmp_path, monkeypatch):
    expected, expected_history = fitted(problem, tmp_path / "fit.pt")
    monkeypatch.setattr(loop.Stepper, "step", None)
    found, history = fitted(problem, tmp_path / "fit.pt")
    assert_same(found, expected)
    assert history.equals(expected_history)


@pytest.mark.parametrize("change", ["rate", "data", "weights", "seed"])
def test_another_fit_starts_afresh_and_says_so(problem, tmp_path, caplog, change):
    state = tmp_path / "fit.pt"
    fitted(problem, state)
    caplog.set_level(logging.WARNING)
    options = {}
    if change == "rate":
        options = {"readout_learning_rate": 0.02}
    elif change == "data":
        response = problem.training["subj01"].response.copy()
        response[0, 0] += 1
        changed = replace(problem.training["subj01"], response=response)
        problem = replace(problem, training={**problem.training, "subj01": changed})
    elif change == "seed":
        options = {"seed": 7}
    network = problem.network(dropout=0.5, seed=9 if change == "weights" else 2)
    problem.fit(network, epochs=EPOCHS, state=state, **options)
    assert "state of a fit with other parameters or data. Starting afresh." in caplog.text


@pytest.mark.parametrize("damage", [b"", b"no state", "truncated"])
def test_a_damaged_state_is_left_aside_and_said(problem, tmp_path, caplog, damage):
    state = tmp_path / "fit.pt"
    expected, _ = fitted(problem, state)
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2] if damage == "truncated" else damage)
    caplog.set_level(logging.WARNING)
    found, _ = fitted(problem, state)
    assert "the state cannot be read" in caplog.text
    assert_same(found, expected)


def test_a_state_runs_no_code(problem, tmp_path, caplog):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"fingerprint": Malicious()}, tmp_path / "fit.pt")
    fitted(problem, tmp_path / "fit.pt")
    assert "Starting afresh" in caplog.text
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    """SIGKILL, ten times, whatever the fit is doing; each time the same command is given again."""
    # children of a process that has imported torch already: they start in a moment
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["torch", "gnet.fitting.loop"])

    def start(folder):
        folder.mkdir(exist_ok=True)
        ready = processes.Event()
        process = processes.Process(target=killed_fit.main, args=(folder, ready))
        process.start()
        assert ready.wait(60)
        return process

    def finish(process):
        started = time.monotonic()
        process.join(120)
        assert process.exitcode == 0
        return time.monotonic() - started

    length = finish(start(tmp_path / "whole"))
    expected = torch.load(tmp_path / "whole" / "result.pt")
    moments = stdlib_random.Random(4)
    killed = 0
    while killed < 10:
        process = start(tmp_path / "killed")
        process.join(moments.uniform(0, length / 3))
        if process.is_alive():
            process.kill()
            process.join()
            killed += 1
        else:  # it had come to its end: once more from the start
            (tmp_path / "killed" / "fit.pt").unlink()
    finish(start(tmp_path / "killed"))
    found = torch.load(tmp_path / "killed" / "result.pt")
    assert_same(found[0], expected[0])
    assert found[1] == expected[1]
