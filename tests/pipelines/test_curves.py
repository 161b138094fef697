"""TensorBoard's curves of a fit are the history that its model keeps."""

import logging
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gnet.hooks.curves import CURVES, EPOCHS, Scalars

FITTED = {"fitting": {"tensorboard": True}}


def open_files():
    return [handler for handler in EPOCHS.handlers if isinstance(handler, Scalars)]


def test_a_fit_draws_the_curves_that_its_model_keeps(prepared):
    prepared.run("encoding_joint", **FITTED)
    [folder] = prepared.data.glob("08_reporting/tensorboard/*/gnet8j")
    [version] = (prepared.data / "06_models" / "gnet8j.h5").glob("*/gnet8j.h5")
    assert folder.parent.name == version.parent.name
    drawn, history = EventAccumulator(str(folder)), prepared.load("gnet8j").history
    drawn.Reload()
    for name in CURVES:
        points = drawn.Scalars(name)
        assert [point.step for point in points] == history["epoch"].tolist() == [1, 2]
        np.testing.assert_array_equal([point.value for point in points], history[name].astype(np.float32))
    assert open_files() == []


def test_a_fit_that_fails_closes_its_file(prepared):
    message, _ = prepared.failed("encoding_joint", fitting={"tensorboard": True, "trunk_learning_rate": 1e30})
    assert "FitError" in message
    assert open_files() == []


def test_without_tensorboard_a_run_says_what_to_install(prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    message, _ = prepared.failed("encoding_joint", **FITTED)
    assert message.strip().startswith(
        "ParameterError: fitting.tensorboard: expected TensorBoard, since it is true"
    )
    assert 'pip install -e ".[tensorboard]"' in message


def test_nothing_is_drawn_that_nobody_asked_for(finished):
    assert not (finished[0].data / "08_reporting" / "tensorboard").exists()
    assert not EPOCHS.propagate
    assert EPOCHS.isEnabledFor(logging.DEBUG)
