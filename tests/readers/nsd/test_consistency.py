from pathlib import Path

import numpy as np
import pytest

from gnet.errors import ReleaseError
from gnet.readers.nsd.consistency import check_repetitions, check_session, check_trials
from gnet.readers.nsd.design import Design
from gnet.readers.nsd.layout import Layout

PATH, VALID = Path("betas_session02.hdf5"), Path("valid_session02.nii.gz")
TRIALS, VOXELS, IMAGES = 60, 40, 80
LAYOUT = Layout(Path("nsd"))


@pytest.fixture
def responses():
    return np.random.default_rng(0).integers(-900, 900, (TRIALS, VOXELS), np.int16)


def test_measured_sessions_pass(responses):
    responses[:, :3] = 0
    contents = check_session(PATH, responses, VALID)
    assert len(set(contents)) == TRIALS
    called_valid = np.arange(VOXELS) > 2
    assert check_session(PATH, responses, VALID, called_valid) == contents
    called_valid[2] = True  # a few without data are left out elsewhere, and counted
    assert check_session(PATH, responses, VALID, called_valid) == contents
    check_trials([PATH], [contents])


def test_sessions_without_data(responses):
    with pytest.raises(ReleaseError, match=r"betas_session02.hdf5: .* one number for each of the 40 voxels"):
        check_session(PATH, responses[:1].repeat(TRIALS, axis=0), VALID)
    nothing = np.zeros_like(responses)
    assert check_session(PATH, nothing, VALID, np.zeros(VOXELS, bool)) == []  # outside the slab, all of it


@pytest.mark.parametrize("number", [0, 1000])
def test_trials_that_were_never_written(responses, number):
    responses[:, 5] = 3
    responses[57:] = number
    with pytest.raises(
        ReleaseError, match=r"the same number in all of them in 3 trials, .* them trial 58: the"
    ):
        check_session(PATH, responses, VALID)


def test_valid_sessions_that_say_the_contrary(responses):
    called_valid = np.ones(VOXELS, bool)
    called_valid[:4] = False
    with pytest.raises(
        ReleaseError,
        match=r"valid_session02.nii.gz says .* none in 0 of 36 such voxels, but some in 4 of the 4",
    ):
        check_session(PATH, responses, VALID, called_valid)
    responses[:, :7] = 0
    with pytest.raises(
        ReleaseError, match="found none in 3 of 36 such voxels, but some in 0 of the 4 others"
    ):
        check_session(PATH, responses, VALID, called_valid)


def test_trials_that_are_others(responses):
    first = check_session(PATH, responses, VALID)
    other = responses + np.int16(1)
    other[7] = responses[30]
    second = check_session(PATH, other, VALID)
    with pytest.raises(
        ReleaseError,
        match=r"session03.hdf5: .* those of trial 31 of betas_session02.hdf5 again in trial 8: one",
    ):
        check_trials([PATH, Path("betas_session03.hdf5")], [first, second])
    responses[3] = responses[2]
    with pytest.raises(ReleaseError, match=r"those of trial 3 of betas_session02.hdf5 again in trial 4"):
        check_trials([PATH], [check_session(PATH, responses, VALID)])


def test_few_voxels_may_coincide(responses):
    few = responses[:, :7]
    few[1] = few[0]
    assert check_session(PATH, few, VALID) == []


@pytest.fixture
def measured():
    """Responses of which image and noise share the variance, by voxel; the design; and the ncsnr."""
    rng = np.random.default_rng(1)
    ordering = rng.permutation(np.repeat(np.arange(IMAGES), 3))
    signal = rng.uniform(0.1, 0.8, VOXELS)
    of_image = rng.standard_normal((IMAGES, VOXELS))
    noise = rng.standard_normal((len(ordering), VOXELS))
    betas = np.sqrt(signal) * of_image[ordering] + np.sqrt(1 - signal) * noise
    betas[:TRIALS, 3] = np.nan
    images = np.arange(IMAGES)[None]
    design = Design(ordering, images, np.ones(IMAGES, bool), TRIALS)
    ncsnr = np.sqrt(signal / (1 - signal))
    ncsnr[4] = np.nan
    return betas.astype(np.float32), design, ncsnr


def check(betas, design, ncsnr):
    check_repetitions(LAYOUT, "subj01", betas, design, ncsnr, "hdf5")


def test_responses_that_repeat_pass(measured):
    betas, design, ncsnr = measured
    check(betas, design, ncsnr)
    check(betas[:TRIALS], design, ncsnr)  # hardly an image twice: nothing is certain
    check(
        np.random.default_rng(0).permutation(betas), design, np.full(VOXELS, 0.05)
    )  # nor with so much noise
    check(betas, design, np.full(VOXELS, np.nan))


def exchange(betas, one, other):
    sessions = betas.reshape(-1, TRIALS, VOXELS).copy()
    sessions[[one, other]] = sessions[[other, one]]
    return sessions.reshape(betas.shape)


def shift(betas, session, step):
    sessions = betas.reshape(-1, TRIALS, VOXELS).copy()
    sessions[session] = np.roll(sessions[session], step, axis=0)
    return sessions.reshape(betas.shape)


@pytest.mark.parametrize(
    ("change", "sessions"),
    [
        (lambda betas: exchange(betas, 0, 2), {1, 3}),
        (lambda betas: shift(betas, 1, 1), {2}),
        (lambda betas: np.roll(betas, 1, axis=0), {1, 2, 3, 4}),
    ],
)
def test_sessions_that_are_not_what_they_say(measured, change, sessions):
    betas, design, ncsnr = measured
    with pytest.raises(
        ReleaseError, match=r"subj01: expected a repeat reliability of 0\.\d\d of the variance"
    ) as caught:
        check(change(betas), design, ncsnr)
    message = str(caught.value)
    assert {number for number in range(1, 5) if f"session0{number}.hdf5" in message} >= sessions
    for name in (
        "as ncsnr.nii.gz predicts",
        "nsd_expdesign.mat do not belong together. Fetch them again: aws s3 cp",
    ):
        assert name in message


def test_noise_ceilings_of_other_voxels(measured):
    betas, design, ncsnr = measured
    with pytest.raises(
        ReleaseError,
        match=r"subj01: expected ncsnr.nii.gz to be high where .* of -?0\.\d.* Fetch it again: aws",
    ):
        check(betas, design, np.roll(ncsnr, 7))
