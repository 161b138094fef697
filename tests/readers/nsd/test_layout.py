from pathlib import Path

import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd.layout import Layout, open_release, subject_number

NSD = Layout(Path("/nsd"))


def test_paths_are_those_of_the_release():
    subject = "/nsd/nsddata/ppdata/subj03/func1pt8mm"
    betas = "/nsd/nsddata_betas/ppdata/subj03/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    paths = {
        NSD.stimuli: "/nsd/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5",
        NSD.design: "/nsd/nsddata/experiments/nsd/nsd_expdesign.mat",
        NSD.stimulus_table: "/nsd/nsddata/experiments/nsd/nsd_stim_info_merged.csv",
        NSD.betas("subj03", 5, "hdf5"): f"{betas}/betas_session05.hdf5",
        NSD.betas("subj03", 40, "nifti"): f"{betas}/betas_session40.nii.gz",
        NSD.ncsnr("subj03"): f"{betas}/ncsnr.nii.gz",
        NSD.valid_session("subj03", 5): f"{subject}/valid_session05.nii.gz",
        NSD.brainmask("subj03"): f"{subject}/brainmask.nii.gz",
        NSD.aseg("subj03"): f"{subject}/aseg.nii.gz",
        NSD.anatomy("subj03"): f"{subject}/T1_to_func1pt8mm.nii.gz",
        NSD.roi("subj03", "streams"): f"{subject}/roi/streams.nii.gz",
        NSD.roi("subj03", "streams", "lh"): f"{subject}/roi/lh.streams.nii.gz",
        NSD.ctab("subj03", "streams"): "/nsd/nsddata/freesurfer/subj03/label/streams.mgz.ctab",
    }
    for path, expected in paths.items():
        assert path.as_posix() == expected


def test_fetch_command_names_bucket_and_place():
    command = Layout(Path("/my data")).fetch_command(
        Path("/my data/nsddata/experiments/nsd/nsd_expdesign.mat")
    )
    name = "nsddata/experiments/nsd/nsd_expdesign.mat"
    bucket = "s3://natural-scenes-dataset"
    assert command == f"aws s3 cp --no-sign-request {bucket}/{name} '/my data/{name}'"


@pytest.mark.parametrize("name", ["subj1", "S1", "subj00", "", "subj01 ", "sub-01"])
def test_unknown_subject_is_refused(name):
    with pytest.raises(ParameterError, match=r"unknown subject .* expected a name like 'subj01'"):
        subject_number(name)


def test_unknown_subject_has_no_paths():
    with pytest.raises(ParameterError, match="unknown subject"):
        NSD.betas("../subj01", 1, "hdf5")
    with pytest.raises(ParameterError, match="unknown subject"):
        NSD.ctab("nobody", "streams")


def test_unknown_file_format_is_refused():
    with pytest.raises(ParameterError, match=r"unknown file format 'mgh' .* expected one of hdf5, nifti"):
        NSD.betas("subj01", 1, "mgh")


@pytest.mark.parametrize("root", [None, ""])
def test_unset_root_says_what_to_set(root):
    with pytest.raises(
        ReleaseError, match=r"not set. Set the environment variable NSD_ROOT .* Data Access Agreement"
    ):
        open_release(root)


def test_root_must_be_a_release(tmp_path):
    with pytest.raises(
        ReleaseError, match="absent: expected the folder of an NSD release, found no such folder"
    ):
        open_release(tmp_path / "absent")
    with pytest.raises(
        ReleaseError, match="expected a folder nsddata in it, as NSD has, found an empty folder"
    ):
        open_release(tmp_path)
    (tmp_path / "photographs").mkdir()
    with pytest.raises(ReleaseError, match=r"found only photographs\. Set the environment variable NSD_ROOT"):
        open_release(str(tmp_path))
    (tmp_path / "nsddata").mkdir()
    assert open_release(str(tmp_path)) == Layout(tmp_path)
