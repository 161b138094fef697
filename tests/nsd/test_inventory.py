import h5py
import nibabel
import numpy as np
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.nsd.inventory import COLUMNS, inventory, refuse_incomplete


def take(release, file_format="hdf5", **changes):
    arguments = {"sessions": release.sessions, "families": release.families, "file_format": file_format}
    return inventory(release.layout, **(arguments | changes))


def problem(release, path, file_format="hdf5", **changes):
    """The problem of one file, having checked that no other file has any."""
    files = take(release, file_format, **changes)
    wrong = files[files["problem"] != ""]
    assert wrong["path"].tolist() == [release.layout.relative(path)]
    with pytest.raises(ReleaseError, match="that are not") as caught:
        refuse_incomplete(files)
    assert release.layout.fetch_command(path) in str(caught.value)
    return wrong["problem"].iloc[0]


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_an_intact_release_has_no_problems(release, file_format):
    files = take(release, file_format)
    assert tuple(files.columns) == COLUMNS
    assert (files["problem"] == "").all()
    refuse_incomplete(files)
    kinds = files["kind"].value_counts()
    assert kinds.to_dict() == {
        "design": 1, "stimuli": 1, "betas": 7, "valid_session": 7, "ncsnr": 2, "aseg": 2, "brainmask": 2,
        "roi": 8, "ctab": 8,
    }  # fmt: skip


def test_rows_tell_size_shape_and_command(release):
    files = take(release).set_index("path")
    path = release.layout.betas("subj02", 3, "hdf5")
    row = files.loc[release.layout.relative(path)]
    assert (row["subject"], row["session"], row["kind"]) == ("subj02", 3, "betas")
    assert row["expected"] == "int16, 6 trials of 4 x 5 x 6"
    assert row["found"] == "int16, 6 trials of 4 x 5 x 6"
    assert row["shape"] == "6 x 6 x 5 x 4"
    assert row["size_bytes"] == path.stat().st_size
    assert row["command"] == release.layout.fetch_command(path)
    stimuli = files.loc[release.layout.relative(release.layout.stimuli)]
    assert stimuli["expected"] == "13 uint8 images or more"
    assert stimuli["found"] == "15 images"


def test_images_are_only_asked_for_when_needed(release):
    release.layout.stimuli.unlink()
    assert (take(release, images=False)["problem"] == "").all()
    assert problem(release, release.layout.stimuli).startswith(
        "expected the images of the release, found no such"
    )


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_missing_in_the_middle(release, file_format):
    path = release.layout.betas("subj01", 2, file_format)
    path.unlink()
    assert (
        problem(release, path, file_format) == "missing in the middle: session 4 is there, session 2 is not"
    )


def test_session_missing_at_the_end(release):
    path = release.layout.betas("subj02", 3, "hdf5")
    path.unlink()
    assert problem(release, path) == "missing"


@pytest.mark.parametrize("fraction", [0.99, 0.5, 0.001])
@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_truncated_session(release, cut, file_format, fraction):
    path = release.layout.betas("subj01", 2, file_format)
    cut(path, fraction)
    assert "truncated" in problem(release, path, file_format)


def test_session_whose_writer_was_interrupted(release):
    path = release.layout.betas("subj01", 2, "hdf5")
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", (600, 4, 6, 5), np.int16, chunks=(600, 1, 1, 1))[:, 0, 0, 0] = 1
    assert problem(release, path) == "truncated: its numbers do not fit into its size"


def replace_session(release, betas):
    release.write_hdf5("subj02", 2, betas)
    release.write_nifti(release.layout.betas("subj02", 2, "nifti"), betas.transpose(1, 2, 3, 0))


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_of_another_shape_count_or_type(release, file_format):
    path = release.layout.betas("subj02", 2, file_format)
    betas = release.betas["subj02"][1]
    replace_session(release, betas.transpose(0, 1, 3, 2))
    assert problem(release, path, file_format) == (
        "expected volumes of 4 x 5 x 6, as the subject's other files have, found int16, 6 trials of 4 x 6 x 5"
    )
    replace_session(release, betas[:5])
    assert problem(release, path, file_format) == (
        "expected 6 trials in the session, as the design plans, found 5"
    )
    replace_session(release, betas.astype(np.float32))
    assert problem(release, path, file_format) == "expected int16, found float32"


def test_session_of_another_kind(release):
    path = release.layout.betas("subj02", 2, "hdf5")
    with h5py.File(path, "w") as file:
        file["responses"] = np.zeros(3)
    assert problem(release, path) == "expected a dataset 'betas', found responses"
    release.write_hdf5("subj02", 2, release.betas["subj02"][1])
    path = release.layout.betas("subj02", 2, "nifti")
    release.write_nifti(path, release.betas["subj02"][1][0])
    assert problem(release, path, "nifti") == "expected axes x, y, z, trial, found shape 4 x 5 x 6"
    image = nibabel.Nifti1Image(release.betas["subj02"][1].transpose(1, 2, 3, 0), np.eye(4))
    image.header.set_slope_inter(1 / 300, 0)
    nibabel.save(image, path)
    assert problem(release, path, "nifti") == "expected plain int16, found numbers to be scaled"


@pytest.mark.parametrize(("needed", "other"), [("hdf5", "nifti"), ("nifti", "hdf5")])
def test_formats_that_disagree_in_shape(release, needed, other):
    betas = release.betas["subj02"][1][:, :, :, :5]
    if other == "hdf5":
        release.write_hdf5("subj02", 2, betas)
    else:
        release.write_nifti(release.layout.betas("subj02", 2, "nifti"), betas.transpose(1, 2, 3, 0))
    found = problem(release, release.layout.betas("subj02", 2, needed), needed)
    assert found == (
        f"4 x 5 x 6 x 6 (x, y, z, trial), but 4 x 5 x 5 x 6 as {other}: one of the two is not this session"
    )


def test_other_format_may_be_absent(release):
    for subject, count in release.sessions.items():
        for session in range(1, count + 1):
            release.layout.betas(subject, session, "nifti").unlink()
    assert (take(release)["problem"] == "").all()


def test_missing_design_does_not_hide_the_rest(release):
    release.layout.design.unlink()
    release.layout.aseg("subj01").unlink()
    wrong = take(release).query("problem != ''")
    assert wrong["kind"].tolist() == ["design", "aseg"]
    assert wrong["problem"].iloc[0].startswith("expected the design of the experiment, found no such file")


def test_damaged_design_is_a_problem(release):
    release.write_design(masterordering=None)
    assert "found no masterordering" in problem(release, release.layout.design)


def test_stimuli_file_with_too_few_images(release, cut):
    release.write_stimuli(release.images[:12])
    assert problem(release, release.layout.stimuli) == "expected 13 images, as the design names, found 12"
    cut(release.layout.stimuli)
    assert "cannot be opened" in problem(release, release.layout.stimuli)
    with h5py.File(release.layout.stimuli, "w") as file:
        file.create_dataset("imgBrick", (15, 12, 12, 3), np.uint8, chunks=(1, 12, 12, 3))
    assert "the file is truncated" in problem(release, release.layout.stimuli)


def test_volume_of_another_shape(release):
    path = release.layout.roi("subj01", "nsdgeneral")
    release.write_nifti(path, np.ones((5, 6, 5), dtype=np.int16))
    assert problem(release, path) == "expected a volume of 5 x 6 x 4, found 5 x 6 x 5"
    release.write_nifti(path, np.ones((5, 6, 4, 2), dtype=np.int16))
    assert problem(release, path) == "expected axes x, y, z, found shape 5 x 6 x 4 x 2"


@pytest.mark.parametrize("kind", ["ncsnr", "aseg", "brainmask"])
def test_truncated_volume(release, cut, kind):
    path = getattr(release.layout, kind)("subj01")
    cut(path, 0.9)
    assert "truncated" in problem(release, path)


def test_missing_family_lists_those_there(release):
    path = release.layout.roi("subj02", "floc-faces")
    path.unlink()
    assert problem(release, path) == "missing. Families there: Kastner2015, nsdgeneral, prf-visualrois."


def test_absent_valid_session_and_documented_ctab_are_no_problem(release):
    release.layout.valid_session("subj01", 3).unlink()
    release.layout.ctab("subj01", "floc-faces").unlink()
    files = take(release)
    assert (files["problem"] == "").all()
    absent = files[files["found"].str.startswith("absent")]
    assert absent["kind"].value_counts().to_dict() == {"ctab": 3, "valid_session": 1}


def test_undocumented_and_damaged_ctabs(release):
    for subject, shape in release.shapes.items():
        release.write_nifti(release.layout.roi(subject, "HCP_MMP1"), np.ones(shape, dtype=np.int16))
        release.layout.ctab(subject, "HCP_MMP1").write_text("1 V1\n")
    path = release.layout.ctab("subj01", "HCP_MMP1")
    path.unlink()
    assert problem(release, path, families=["HCP_MMP1"]) == "missing"
    path.write_text("nonsense\n")
    assert "expected 'value name' in line 1" in problem(release, path, families=["HCP_MMP1"])


def test_many_problems_are_counted_and_all_commands_given(release):
    for path in release.layout.root.rglob("*.nii.gz"):
        path.unlink()
    files = take(release)
    wrong = files[files["problem"] != ""]
    assert len(wrong) == 14
    with pytest.raises(ReleaseError, match="expected 38 files that are there and whole, found 14") as caught:
        refuse_incomplete(files)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith(
        "- nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/ncsnr.nii.gz: missing"
    )
    assert lines[11] == "- and 4 more"
    assert "Data Access Agreement" in lines[12]
    assert lines[13] == "Then fetch them:"
    assert lines[14:] == wrong["command"].tolist()


def test_parameters_that_ask_for_what_is_not_planned(release):
    with pytest.raises(ParameterError, match="subj02: expected between 1 and 4 sessions"):
        take(release, sessions={"subj02": 5})
    with pytest.raises(ParameterError, match="unknown subject 'subj09'"):
        take(release, sessions={"subj09": 1})
    with pytest.raises(ParameterError, match="unknown subject 'S1'"):
        take(release, sessions={"S1": 1})
    with pytest.raises(ParameterError, match="expected at least one subject, got none"):
        take(release, sessions={})
    with pytest.raises(ParameterError, match="unknown file format 'mgh'"):
        take(release, file_format="mgh")
