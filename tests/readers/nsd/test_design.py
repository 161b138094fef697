import numpy as np
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd.design import read_design, special_positions, trial_table


def test_design_counts_from_zero(release):
    design = read_design(release.layout, stimuli=13)
    np.testing.assert_array_equal(design.ordering, release.design["masterordering"].ravel() - 1)
    np.testing.assert_array_equal(design.images, release.design["subjectim"] - 1)
    np.testing.assert_array_equal(np.flatnonzero(design.shared), [0, 1, 2])
    assert (design.trials_per_session, design.planned_sessions) == (6, 4)


def test_every_trial_finds_its_image(release):
    table = trial_table(read_design(release.layout), "subj02", sessions=3)
    order = release.design["masterordering"].ravel().astype(int)
    assert list(table.columns) == [
        "subject", "trial", "session", "position", "image_id", "repetition", "shared"
    ]  # fmt: skip
    assert len(table) == 3 * release.trials
    for trial, row in enumerate(table.itertuples()):
        position = order[trial] - 1
        assert (row.subject, row.trial, row.position) == ("subj02", trial, position)
        assert row.session == trial // 6 + 1
        assert row.image_id == release.design["subjectim"][1, position]
        assert row.repetition == (order[: trial + 1] == order[trial]).sum()
        assert row.shared == (position < 3)


def test_special_images_are_those_everybody_saw_three_times(release):
    design = read_design(release.layout)
    np.testing.assert_array_equal(special_positions(design, {"subj01": 4, "subj02": 4}), [0, 1, 2])
    first = np.bincount(design.ordering[: 3 * release.trials], minlength=8)[:3]
    special = special_positions(design, release.sessions)
    np.testing.assert_array_equal(special, np.flatnonzero(first == 3))


def test_absent_design_names_the_command(release):
    release.layout.design.unlink()
    with pytest.raises(ReleaseError, match=r"found no such file. Fetch it: aws s3 cp .*expdesign.mat"):
        read_design(release.layout)


def test_damaged_design(release, cut):
    cut(release.layout.design)
    with pytest.raises(ReleaseError, match=r"expected a MATLAB v5 file, but reading it fails .* again: aws"):
        read_design(release.layout)


@pytest.mark.parametrize("field", ["masterordering", "subjectim", "sharedix", "basiccnt"])
def test_missing_field_is_named(release, field):
    release.write_design(**{field: None})
    with pytest.raises(ReleaseError, match=rf"expected the fields .* found no {field} \(fields there: "):
        read_design(release.layout)


@pytest.mark.parametrize(("value", "found"), [(0, "0 to 8"), (9, "1 to 9")])
def test_ordering_out_of_range(release, value, found):
    ordering = release.design["masterordering"].copy()
    ordering[0, np.flatnonzero(ordering == 3)[0]] = value
    release.write_design(masterordering=ordering)
    with pytest.raises(ReleaseError, match=rf"masterordering to hold .* from 1 to 8, .* found {found}\."):
        read_design(release.layout)


def test_image_outside_the_stimuli_file(release):
    with pytest.raises(
        ReleaseError,
        match=r"subjectim to hold indices from 1 to 12, .* found 1 to 13\. Fetch",
    ):
        read_design(release.layout, stimuli=12)
    images = release.design["subjectim"].copy()
    images[0, 5] = 0
    release.write_design(subjectim=images)
    with pytest.raises(ReleaseError, match=r"subjectim to hold indices from 1, found 0 to 13\."):
        read_design(release.layout)


@pytest.mark.parametrize("value", [2.5, np.nan])
def test_indices_are_whole_numbers(release, value):
    ordering = release.design["masterordering"].copy()
    ordering[0, 4] = value
    release.write_design(masterordering=ordering)
    with pytest.raises(ReleaseError, match="expected whole numbers in masterordering, found others"):
        read_design(release.layout)


def test_fields_of_text_are_refused(release):
    release.write_design(subjectim="no numbers")
    with pytest.raises(ReleaseError, match="expected whole numbers in subjectim, found others"):
        read_design(release.layout)


def test_shared_images_are_the_same_for_all(release):
    images = release.design["subjectim"].copy()
    images[1, 1] = 12
    release.write_design(subjectim=images)
    with pytest.raises(ReleaseError, match="found 1 that differ, the first of them column 2"):
        read_design(release.layout)


def test_sharing_more_than_there_is(release):
    release.write_design(sharedix=np.ones((1, 9)))
    with pytest.raises(ReleaseError, match=r"expected at most 8 shared images, .* found 9"):
        read_design(release.layout)


def test_sharedix_is_the_first_columns_of_subjectim(release):
    release.write_design(sharedix=np.array([[1, 4, 8]]))
    with pytest.raises(ReleaseError, match=r"sharedix to be the first 3 columns .* found 1 .* them column 3"):
        read_design(release.layout)
    release.write_design(sharedix=release.design["sharedix"][:, :2])
    with pytest.raises(ReleaseError, match=r"in one list once, found 1 otherwise, .* them 73k-ID 9\."):
        read_design(release.layout)


@pytest.mark.parametrize(("subject", "image"), [(0, 3), (1, 3)])
def test_images_of_one_subject_are_in_one_list_once(release, subject, image):
    images = release.design["subjectim"].copy()
    images[subject, -1] = image
    release.write_design(subjectim=images)
    with pytest.raises(
        ReleaseError,
        match=r"shared by all subjects or in one list once, found 1 .* the first of them 73k-ID 3",
    ):
        read_design(release.layout)


def test_every_position_is_planned_as_often(release):
    ordering = release.design["masterordering"].copy()
    ordering[0, np.flatnonzero(ordering == 5)[0]] = 7
    release.write_design(masterordering=ordering)
    with pytest.raises(
        ReleaseError, match=r"8 positions 3 times in masterordering, found 2 .* first of them 5: 2 times"
    ):
        read_design(release.layout)


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        (
            "masterordering",
            lambda value: value.reshape(2, -1),
            "one row of numbers .*, found 2 x 12 and 1 x 3",
        ),
        (
            "subjectim",
            lambda value: value[:, :, None].repeat(2, 2),
            "whole numbers in subjectim, found shape 2 x 8 x 2",
        ),
        ("subjectim", lambda value: value + 1e19, "subjectim to hold indices from 1, found 10,0"),
        ("basiccnt", lambda value: "four", "numbers in basiccnt, a column for each session"),
        ("basiccnt", lambda value: value[..., None].repeat(2, 2), "numbers in basiccnt"),
    ],
)
def test_fields_of_another_form(release, field, value, found):
    release.write_design(**{field: value(release.design[field])})
    with pytest.raises(ReleaseError, match=rf"nsd_expdesign.mat: expected {found}"):
        read_design(release.layout)


def test_sessions_are_those_of_the_pattern(release):
    release.write_design(basiccnt=np.ones((3, 3)), stimpattern=np.ones((4, 12, 2)))
    with pytest.raises(ReleaseError, match="to have as many sessions, found 3 and 4"):
        read_design(release.layout)


def test_fewer_trials_than_sessions_make(release):
    release.write_design(masterordering=release.design["masterordering"][:, :-1])
    with pytest.raises(ReleaseError, match=r"in every session, found 23 trials .* in 4 sessions"):
        read_design(release.layout)


def test_sessions_and_subjects_beyond_the_design(release):
    design = read_design(release.layout)
    with pytest.raises(ParameterError, match=r"subj01: expected between 1 and 4 sessions, .* got 5"):
        trial_table(design, "subj01", 5)
    with pytest.raises(ParameterError, match="expected between 1 and 4 sessions"):
        special_positions(design, {"subj01": 0})
    with pytest.raises(ParameterError, match="unknown subject 'subj03': expected one of subj01 to subj02"):
        trial_table(design, "subj03", 1)
