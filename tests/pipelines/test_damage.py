"""What happens to a release is refused by a file's name, or makes no difference, or could be true.

Damages are drawn by hypothesis from tests/damages.py and done to a copy of a small simulated release. All
that data_engineering and masks make of it is compared with what they make of the release as it was.
"""

import logging
import os
import shutil
import warnings
from collections import Counter
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from damages import DAMAGES, SESSIONS, UNKNOWABLE, Scene
from gnet.errors import ReleaseError
from gnet.hooks.endings import explain
from gnet.pipelines import data_engineering
from gnet.pipelines.masks import draw_masks
from gnet.pipelines.parameters import Areas, Images, Masks, Release, Split
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.reader import NSDReader
from gnet.recording.volumes import Volume
from gnet.simulation.release import SimulationPlan, simulate

ROOT = Path(__file__).resolve().parents[2]
PLAN = SimulationPlan(
    sessions=SESSIONS,
    volume_shapes={"subj01": (8, 9, 7), "subj02": (9, 8, 6)},
    planned_sessions=3,
    trials_per_session=90,
    shared_images=20,
    own_images=70,
    stimulus_pixels=24,
    voxels_per_label=(4, 7),
    organisation="parallel",
    ceiling=(45.0, 75.0),
    noise_correlation=0.2,
    missing_voxels=1,
    seed=1,
)
MASKS = Masks(tabulated=("early_visual", "visual"))
AREAS = Areas(
    {
        name: {"family": "prf-visualrois", "labels": labels}
        for name, labels in {"V1": ("V1v", "V1d"), "V2": ("V2v", "V2d"), "hV4": ("hV4",)}.items()
    }
)
TIMES = int(os.environ.get("GNET_DAMAGES", "6"))
"""How often each kind of damage is done: hundreds in all, or more with GNET_DAMAGES=30 in the environment."""

BRIEF = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def prepare(layout, file_format):
    """All that is made of a release before a model is fitted, by the functions of the nodes."""
    recording = NSDReader(layout)
    release = Release(sessions=SESSIONS, betas_format=file_format)
    inventory = data_engineering.take_inventory(recording, release, AREAS)
    image_ids, subject_images = data_engineering.list_images(recording, inventory, release)
    split = Split(test="shared", holdout_fraction=0.1, seed=1)
    trials = data_engineering.tabulate_trials(recording, inventory, release, split)
    masks, voxels = draw_masks(
        recording, inventory, release, AREAS, Masks(tabulated=("early_visual", "visual"))
    )
    responses = data_engineering.prepare_responses(recording, inventory, voxels, release)
    images = data_engineering.prepare_images(recording, image_ids, Images(pixels=31, resampling="bilinear"))
    return {
        "image_ids": image_ids,
        "subject_images": subject_images,
        "trials": trials,
        "masks": masks,
        "voxels": voxels,
        "betas": {subject: vars(make()) for subject, make in responses.items()},
        "images": np.concatenate(list(images)),
    }


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, Volume):
        return same(one.data, other.data) and np.allclose(one.affine, other.affine)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """The release as it was: its folder, and what is made of it."""
    root = tmp_path_factory.mktemp("intact")
    simulate(PLAN).write(root)
    made = prepare(Layout(root), "hdf5")
    assert same(made, prepare(Layout(root), "nifti"))
    return root, made


def outcome(damage, draw, intact, folder):
    """Damage a copy of the release and say what came of it; fail if that is none of what may come of it."""
    intact_root, expected = intact
    root = folder / "nsd"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(intact_root, root)
    layout = Layout(root)
    file_format, other = draw(st.permutations(["hdf5", "nifti"]))
    if draw(st.booleans()):  # who downloads one format has no other
        for subject, count in SESSIONS.items():
            for session in range(1, count + 1):
                layout.betas(subject, session, other).unlink()
    if draw(st.integers(0, 2)) == 0:
        layout.stimulus_table.unlink()
    scene = Scene(layout, draw, file_format)
    damage(scene)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning is no refusal
            made = prepare(layout, file_format)
    except ReleaseError as error:
        if not any(name in str(error) for name in scene.touched):
            pytest.fail(f"{error}\n\ndoes not name {', '.join(scene.touched)}")
        return "refused"
    if same(made, expected):
        return "identical"
    changed = [name for name in expected if not same(made[name], expected[name])]
    assert scene.unknowable, f"{scene.touched} changed {changed} unseen"
    return f"unknowable: {UNKNOWABLE[scene.unknowable]}"


def repeat(damage, examples, intact, folder):
    """Do one kind of damage some times, and count what came of it."""
    outcomes = Counter()

    @settings(BRIEF, max_examples=examples)
    @given(st.data())
    def draw_and_damage(data):
        outcomes[outcome(damage, data.draw, intact, folder)] += 1

    draw_and_damage()
    return outcomes


@pytest.fixture(scope="module")
def outcomes():
    """What came of all damages; printed at the end, for `pytest -s`."""
    counter = Counter()
    yield counter
    print("\n" + "\n".join(f"{count:6,} {name}" for name, count in counter.most_common()))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_refused_or_makes_no_difference_or_could_be_true(damage, intact, tmp_path, outcomes):
    outcomes.update(repeat(damage, TIMES, intact, tmp_path))


def test_what_cannot_be_known_is_documented():
    text = (ROOT / "docs" / "data.md").read_text()
    for reason in UNKNOWABLE.values():
        assert f"\n- **{reason}" in text


def test_what_only_the_numbers_tell_stops_a_run_as_well(fresh):
    fresh.run("simulation")
    layout = Layout(fresh.data / "01_raw" / "nsd")
    with h5py.File(layout.betas("subj02", 2, "hdf5"), "r+") as file:
        file["betas"][37:] = 0
    message = stopped(fresh, "data_engineering")
    assert message.startswith("\nReleaseError: subj02, session 2: ")
    assert (
        "betas_session02.hdf5: expected another response in each voxel, found the same number in" in message
    )
    with h5py.File(layout.betas("subj02", 2, "hdf5"), "r+") as file:
        file["betas"][37:] = np.random.default_rng(0).integers(-900, 900, file["betas"][37:].shape)
    with h5py.File(layout.stimuli, "r+") as file:
        file["imgBrick"][50] = 0
    message = stopped(fresh, "data_engineering")
    assert message.startswith("\nReleaseError: ")
    assert "nsd_stimuli.hdf5: expected a picture as the image with 73k-ID 51, found one colour" in message
    assert "02_intermediate/images.npy" not in fresh.files()


def stopped(project, pipeline):
    """What a user reads when the run stops."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the text is asserted
        project.run(pipeline)
    with mock.patch("sys.stderr") as stderr:
        explain(mock.Mock(), type(caught.value), caught.value, caught.value.__traceback__)
    return "".join(call.args[0] for call in stderr.write.call_args_list)
