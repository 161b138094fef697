import gzip

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd import headers
from gnet.readers.nsd.inventory import inventory, refuse_incomplete


def stimulus_table(release):
    """NSD's table of all images, as far as it is read."""
    ordering, images = release.design["masterordering"].ravel(), release.design["subjectim"].astype(int)
    table = pd.DataFrame({"cocoId": 7, "nsdId": np.arange(15)})
    for number, of_subject in enumerate(images, start=1):
        for repetition in range(3):
            when = [np.flatnonzero(ordering == position)[repetition] + 1 for position in range(1, 9)]
            table[f"subject{number}_rep{repetition}"] = 0
            table.loc[of_subject - 1, f"subject{number}_rep{repetition}"] = when
    return table


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
    columns = "subject session kind path expected found size_bytes shape problem command"
    assert " ".join(files.columns) == columns
    assert (files["problem"] == "").all()
    refuse_incomplete(files)
    kinds = files["kind"].value_counts()
    assert kinds.to_dict() == {
        "design": 1, "stimulus_table": 1, "stimuli": 1, "betas": 7, "valid_session": 7, "ncsnr": 2, "aseg": 2,
        "brainmask": 2, "roi": 8, "ctab": 8,
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


def test_images_that_are_missing(release):
    release.layout.stimuli.unlink()
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
    kinds = absent["kind"].value_counts().to_dict()
    assert kinds == {"ctab": 3, "valid_session": 1, "stimulus_table": 1}


def test_undocumented_and_damaged_ctabs(release):
    for subject, shape in release.shapes.items():
        release.write_nifti(release.layout.roi(subject, "HCP_MMP1"), np.ones(shape, dtype=np.int16))
        release.layout.ctab(subject, "HCP_MMP1").write_text("1 V1\n")
    path = release.layout.ctab("subj01", "HCP_MMP1")
    path.unlink()
    assert problem(release, path, families=["HCP_MMP1"]) == "missing"
    path.write_text("nonsense\n")
    assert "expected 'value name' in line 1" in problem(release, path, families=["HCP_MMP1"])


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_that_is_another(release, file_format):
    one, other = (release.layout.betas("subj01", session, file_format) for session in (2, 4))
    other.write_bytes(one.read_bytes())
    wrong = take(release, file_format).query("problem != ''").set_index("path")["problem"]
    names = [release.layout.relative(path) for path in (one, other)]
    assert wrong.to_dict() == {
        name: f"the same content as {fellow}: one of them is not what its name says"
        for name, fellow in zip(names, names[::-1], strict=True)
    }


@pytest.mark.parametrize("storage", [{"chunks": None}, {"chunks": (2, 3, 2, 4)}, {"compression": "gzip"}])
def test_session_that_is_another_stored_otherwise(release, storage):
    for session in (2, 3):
        release.write_hdf5("subj01", session, release.betas["subj01"][1], **storage)
    wrong = take(release).query("problem != ''")
    assert wrong["session"].tolist() == [2, 3]


def test_masks_may_be_alike_and_empty_middles_tell_nothing(release):
    betas = release.betas["subj01"][:2].copy()
    betas[:, :, :, 3, 2] = 0
    for session in (1, 2):
        release.write_hdf5("subj01", session, betas[session - 1])
    valid = release.layout.valid_session("subj01", 1)
    release.layout.valid_session("subj01", 2).write_bytes(valid.read_bytes())
    assert (take(release)["problem"] == "").all()


def test_regions_of_another_family(release):
    path, other = (release.layout.roi("subj02", family) for family in ("nsdgeneral", "floc-faces"))
    path.write_bytes(other.read_bytes())
    wrong = take(release).query("problem != ''")
    assert wrong["path"].tolist() == [release.layout.relative(path), release.layout.relative(other)]


@pytest.mark.parametrize(
    "change",
    [
        lambda affine: np.diag([-1, 1, 1, 1]) @ affine,
        lambda affine: affine @ np.diag([1, 1, 1.2, 1]),
        lambda affine: affine + np.array([[0, 0, 0, 1.0]] + 3 * [[0, 0, 0, 0]]),
        lambda affine: affine * np.nan,
        lambda affine: affine * 0,
    ],
)
def test_volume_in_another_place(release, change):
    path = release.layout.roi("subj01", "Kastner2015")
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj)
    content = bytearray(nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype).to_bytes())
    content[280:328] = change(image.affine)[:3].astype("f4").tobytes()  # srow_x, srow_y, srow_z
    path.write_bytes(gzip.compress(content))
    found = problem(release, path)
    assert found.startswith(
        "expected its voxels where the subject's other volumes have them, found another affine"
    )


def test_rounded_places_are_the_same(release):
    path = release.layout.roi("subj01", "Kastner2015")
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj)
    nibabel.save(nibabel.Nifti1Image(data, image.affine + 1e-3, dtype=data.dtype), path)
    assert (take(release)["problem"] == "").all()


def test_volume_of_scaled_or_complex_numbers(release):
    path = release.layout.valid_session("subj01", 1)
    image = nibabel.Nifti1Image(np.ones((5, 6, 4), np.uint8), nibabel.load(path).affine)
    image.header.set_slope_inter(2, 0)
    nibabel.save(image, path)
    assert problem(release, path) == "expected plain numbers, found numbers to be scaled"
    release.write_nifti(path, np.ones((5, 6, 4), np.complex64))
    assert problem(release, path) == "expected real numbers, found complex64"


def test_headers_that_make_no_sense(release):
    path = release.layout.aseg("subj01")
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[108:112] = np.float32(16).tobytes()  # vox_offset: inside the header
    path.write_bytes(gzip.compress(content))
    assert problem(release, path).startswith(
        "damaged or truncated: it cannot be opened (vox offset 16 too low"
    )
    path = release.layout.betas("subj01", 2, "hdf5")
    with h5py.File(path, "w") as file:
        file["betas"] = h5py.SoftLink("/betas")
    release.write_nifti(release.layout.aseg("subj01"), np.ones((5, 6, 4), np.int16))
    assert problem(release, path).startswith("damaged or truncated: it cannot be opened (")
    with h5py.File(path, "w") as file:
        file["betas"] = h5py.Empty("i2")
    assert problem(release, path) == "expected axes trial, z, y, x, found shape "


def test_table_of_all_images_is_compared(release):
    table = stimulus_table(release)
    path = release.layout.relative(release.layout.stimulus_table)
    table.to_csv(release.layout.stimulus_table)
    files = take(release).set_index("path")
    assert files.loc[path, "found"] == "15 images"
    release.write_stimuli(release.images[:14])
    assert problem(release, release.layout.stimuli) == (
        "expected 15 images, as nsd_stim_info_merged.csv lists, found 14"
    )
    release.write_stimuli(release.images)
    table.loc[3, ["subject1_rep0", "subject1_rep1"]] += [1, 1]
    table.to_csv(release.layout.stimulus_table)
    wrong = take(release).query("problem != ''").set_index("path")["problem"]
    assert list(wrong) == [
        "contradicts nsd_stim_info_merged.csv",
        wrong[path],
    ]
    assert wrong[path].startswith(
        "expected the trials that nsd_expdesign.mat plans, found others for 1 images"
    )
    release.layout.stimulus_table.write_text("<html>")
    assert problem(release, release.layout.stimulus_table).startswith(
        "expected a table of all images with the"
    )


def test_design_without_a_session_that_is_there(release):
    release.write_design(subjectim=release.design["subjectim"][:1])
    found = problem(release, release.layout.design)
    assert found.startswith("session 3 of subj02 is there, but not in the design: unknown subject 'subj02'")


def test_many_problems_are_counted_and_all_commands_given(release):
    for path in release.layout.root.rglob("*.nii.gz"):
        path.unlink()
    files = take(release)
    wrong = files[files["problem"] != ""]
    assert len(wrong) == 14
    with pytest.raises(ReleaseError, match="expected 39 files that are there and whole, found 14") as caught:
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


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    """Its owner can help; fetching it again would not. (Root may read everything: refused by hand.)"""
    path = tmp_path / "ncsnr.nii.gz"
    path.write_bytes(b"what it holds does not matter")

    def refused(_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(headers, "_nifti_header", refused)
    with pytest.raises(ReleaseError, match=r"^no permission to read it: ask its owner \(`ls -l`\) for it$"):
        headers.read_header(path)
