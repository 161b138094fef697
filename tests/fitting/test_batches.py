"""Batches hold one subject, an epoch every trial once, and the rule decides what changes between epochs."""

from itertools import pairwise

import jaxtyping
import numpy as np
import pytest

from gnet.errors import ParameterError
from gnet.fitting.batches import Trials, epoch_batches

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


def test_unknown_rule():
    with pytest.raises(ParameterError, match="batches: expected fixed_slices or reshuffled, got 'random'"):
        epochs(1, "random", {"subj01": 3})


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
        "Leave out voxels without data in a session before fitting."
    )
