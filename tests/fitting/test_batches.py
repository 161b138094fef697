"""Batches hold one subject, an epoch every trial once, and the rule decides what changes between epochs."""

from itertools import pairwise

import jaxtyping
import numpy as np
import pytest
import torch

from gnet.errors import ParameterError
from gnet.fitting.batches import Trials, epoch_batches, image_means
from gnet.fitting.objective import voxel_error

RULES = ("fixed_slices", "reshuffled")


def epochs(count, rule, trials, size=4, seed=0):
    random = np.random.default_rng(seed)
    return [epoch_batches(trials, size=size, rule=rule, random=random) for _ in range(count)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("counts", [{"subj01": 22, "subj02": 7}, {"subj01": 8}, {"subj01": 3, "subj02": 1}])
def test_every_trial_of_every_subject_once_an_epoch(rule, counts):
    for batches in epochs(3, rule, counts):
        for subject, count in counts.items():
            trials = np.concatenate([trial for name, trial in batches if name == subject])
            assert sorted(trials.tolist()) == list(range(count))


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_has_the_size_asked_for(rule):
    """22 trials in fours leave two; 13 leave one, which joins the batch before it."""
    (batches,) = epochs(1, rule, {"subj01": 22, "subj02": 13})
    sizes = {
        subject: sorted(len(trial) for name, trial in batches if name == subject) for subject, _ in batches
    }
    assert sizes == {"subj01": [2, 4, 4, 4, 4, 4], "subj02": [4, 4, 5]}


def slices(batches):
    return {(subject, tuple(trial.tolist())) for subject, trial in batches}


def test_fixed_slices_are_contiguous_and_the_same_every_epoch():
    first, *others = epochs(4, "fixed_slices", {"subj01": 22, "subj02": 13})
    for _, trial in first:
        assert (np.diff(trial) == 1).all()
    for batches in others:
        assert slices(batches) == slices(first)
    orders = {tuple((subject, trial[0].item()) for subject, trial in batches) for batches in (first, *others)}
    assert len(orders) == 4  # only their order changes


def test_reshuffled_batches_are_drawn_anew():
    first, second = epochs(2, "reshuffled", {"subj01": 40})
    assert slices(first).isdisjoint(slices(second))
    assert any((np.diff(trial) != 1).any() for _, trial in first)


@pytest.mark.parametrize("rule", RULES)
def test_subjects_alternate(rule):
    """A batch of one subject follows those of the other, and not all of the first come first."""
    (batches,) = epochs(1, rule, {"subj01": 40, "subj02": 40})
    subjects = [subject for subject, _ in batches]
    assert sum(a != b for a, b in pairwise(subjects)) > 2


@pytest.mark.parametrize("rule", RULES)
def test_batches_follow_the_generator(rule):
    first, again, other = (
        [(subject, trial.tolist()) for subject, trial in epochs(1, rule, {"a": 40, "b": 30}, seed=seed)[0]]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_more_images_than_responses(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of shapes
    with pytest.raises(ParameterError, match="one image for each response, got 3 images and 2 responses"):
        Trials(np.arange(3), np.zeros((2, 4), np.float32))


def test_responses_with_nan():
    response = np.zeros((3, 4), np.float32)
    response[1, 2] = response[2, 2] = response[0, 3] = np.nan
    with pytest.raises(ParameterError) as caught:
        Trials(np.arange(3), response)
    assert str(caught.value) == (
        "trials: expected responses without NaN, got NaN in 2 of 4 voxels. "
        "Remove voxels that lack data in a session before fitting."
    )


# Means over the trials of an image


def repeated_trials():
    """Twelve trials of five images, seen once to four times, in an order that is not that of their rows."""
    rows = np.array([9, 4, 9, 0, 4, 9, 2, 7, 7, 2, 9, 4])
    response = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    return Trials(rows, response)


def test_image_means_are_the_means_of_their_trials_in_the_order_of_first_sight():
    trials = repeated_trials()
    means = image_means(trials)
    assert means.image_row.tolist() == [9, 4, 0, 2, 7]
    assert means.count.tolist() == [4, 3, 1, 2, 2]
    for row, response in zip(means.image_row, means.response, strict=True):
        np.testing.assert_allclose(response, trials.response[trials.image_row == row].mean(0), rtol=1e-6)
    assert means.response.dtype == np.float32


def test_fitting_means_has_the_gradient_of_fitting_trials():
    """d/dp sum over trials (p - t)^2 = d/dp sum over images n (p - mean t)^2, at any prediction p."""
    trials = repeated_trials()
    means = image_means(trials)
    of_image = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    gradients = []
    for part in (trials, means):
        prediction = of_image.clone().requires_grad_()
        counts = None if part.count is None else torch.from_numpy(part.count).float()
        target = torch.from_numpy(part.response)
        _, error, slope = voxel_error(prediction[part.image_row], target, floor=1.0, counts=counts)
        error.sum().backward()
        gradients.append(prediction.grad)
        torch.testing.assert_close(  # the slope that the sweep is given is this one
            torch.zeros(10, 3).index_add(0, torch.from_numpy(part.image_row), slope.detach()), prediction.grad
        )
    torch.testing.assert_close(*gradients)
