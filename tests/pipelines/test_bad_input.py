"""What is wrong stops a run before it costs anything, says what to do, and leaves nothing behind.

Each test damages a copy of the tiny release, or asks for what is not there, and runs the main pipeline.
"""

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io
import torch
from kedro.framework.project import pipelines as registered

from gnet.readers.nsd.layout import AGREEMENT, Layout

PIPELINE = "encoding_roi"
BETAS = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session02"


@pytest.fixture
def layout(raw):
    return Layout(raw.data / "01_raw" / "nsd")


def cut(path, fraction=0.7):
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])


def rewrite_session(layout, change):
    """Replace the second session of the first subject, in both formats; `change` gets (trial, z, y, x)."""
    path = layout.betas("subj01", 2, "hdf5")
    with h5py.File(path) as file:
        betas = change(file["betas"][()])
    with h5py.File(path, "w") as file:
        file["betas"] = betas
    nibabel.save(
        nibabel.Nifti1Image(betas.transpose(3, 2, 1, 0), np.eye(4), dtype=betas.dtype),
        layout.betas("subj01", 2, "nifti"),
    )


def rewrite_volume(path, change):
    image = nibabel.load(path)
    data = change(np.asanyarray(image.dataobj))
    nibabel.save(nibabel.Nifti1Image(data, image.affine, dtype=data.dtype), path)


def rewrite_design(layout, change):
    content = {name: value for name, value in scipy.io.loadmat(layout.design).items() if name[0] != "_"}
    change(content)
    scipy.io.savemat(layout.design, content)


def refused_by_inventory(project, path, problem, **parameters):
    """The run stops with this problem of this file, the agreement and the command; nothing else is wrong."""
    message, run = project.refused(PIPELINE, **parameters)
    assert message.startswith("\nReleaseError: the release: expected ")
    assert "found 1 that are not:" in message
    assert f"- {path}: {problem}" in message
    assert AGREEMENT in message
    assert f"aws s3 cp --no-sign-request s3://natural-scenes-dataset/{path} " in message
    assert run.nodes[0] == "take_inventory"
    assert len(run.nodes) == 2  # the first that needs a complete release


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_missing_in_the_middle(raw, layout, file_format):
    path = layout.betas("subj01", 2, file_format)
    path.unlink()
    problem = "missing in the middle: session 3 is there, session 2 is not"
    refused_by_inventory(raw, layout.relative(path), problem, release={"betas_format": file_format})


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_truncated(raw, layout, file_format):
    path = layout.betas("subj01", 2, file_format)
    cut(path)
    parameters = {"release": {"betas_format": file_format}}
    refused_by_inventory(raw, layout.relative(path), "", **parameters)
    message, _ = raw.refused(PIPELINE, **parameters)
    assert "truncated" in message


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_of_the_wrong_shape(raw, layout, file_format):
    rewrite_session(layout, lambda betas: betas[..., :-1])
    path = layout.relative(layout.betas("subj01", 2, file_format))
    problem = (
        "expected volumes of 10 x 12 x 9, as the subject's other files have, found int16, 40 trials of 9 x"
    )
    refused_by_inventory(raw, path, problem, release={"betas_format": file_format})


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_session_of_the_wrong_type(raw, layout, file_format):
    rewrite_session(layout, lambda betas: betas.astype(np.float32))
    path = layout.relative(layout.betas("subj01", 2, file_format))
    refused_by_inventory(raw, path, "expected int16, found float32", release={"betas_format": file_format})


def test_session_with_fewer_trials(raw, layout):
    rewrite_session(layout, lambda betas: betas[:-1])
    problem = "expected 40 trials in the session, as the design plans, found 39"
    refused_by_inventory(raw, f"{BETAS}.hdf5", problem)


def test_formats_that_disagree_in_shape(raw, layout):
    rewrite_volume(layout.betas("subj01", 2, "nifti"), lambda betas: betas[..., :-1])
    problem = (
        "10 x 12 x 9 x 40 (x, y, z, trial), but 10 x 12 x 9 x 39 as nifti: one of the two is not this session"
    )
    refused_by_inventory(raw, f"{BETAS}.hdf5", problem)


def test_session_lost_since_the_masks_were_drawn(prepared):
    layout = Layout(prepared.data / "01_raw" / "nsd")
    layout.betas("subj01", 2, "hdf5").unlink()
    message, run = prepared.refused("data_engineering")
    assert f"- {BETAS}.hdf5: missing in the middle" in message
    assert run.nodes[0] == "take_inventory"
    assert len(run.nodes) == 2


def test_design_without_a_field(raw, layout):
    rewrite_design(layout, lambda design: design.pop("subjectim"))
    path = layout.relative(layout.design)
    message, run = raw.refused(PIPELINE)
    assert f"- {path}: expected the fields" in message
    assert "found no subjectim" in message
    assert f"s3://natural-scenes-dataset/{path} " in message
    assert len(run.nodes) == 2


@pytest.mark.parametrize(
    ("field", "index", "problem"),
    [
        ("masterordering", 41, "expected masterordering to hold indices from 1 to 40, the number of"),
        ("masterordering", 0, "expected masterordering to hold indices from 1 to 40, the number of"),
        ("subjectim", 0, "expected subjectim to hold indices from 1"),
    ],
)
def test_design_with_indices_out_of_range(raw, layout, field, index, problem):
    def change(design):
        design[field][0, -1] = index

    rewrite_design(layout, change)
    refused_by_inventory(raw, layout.relative(layout.design), problem)


def test_fewer_stimuli_than_the_design_names(raw, layout):
    with h5py.File(layout.stimuli) as file:
        images = file["imgBrick"][:-1]
    with h5py.File(layout.stimuli, "w") as file:
        file["imgBrick"] = images
    problem = "expected 70 images, as the design names, found 69"
    refused_by_inventory(raw, layout.relative(layout.stimuli), problem)


@pytest.mark.parametrize("family", ["prf-visualrois", "nsdgeneral"])
def test_regions_of_another_shape(raw, layout, family):
    path = layout.roi("subj02", family)
    rewrite_volume(path, lambda labels: labels[:, :, 1:])
    problem = "expected a volume of 11 x 10 x 9, found 11 x 10 x 8"
    refused_by_inventory(raw, layout.relative(path), problem)


def test_unknown_family(raw, layout, tmp_path):
    areas = {"HFA": {"family": "floc-hands", "labels": ["HFA-1"]}}
    message, run = raw.with_parameters(tmp_path / "conf", areas=areas).refused(PIPELINE)
    assert "roi/floc-hands.nii.gz: missing. Families there: Kastner2015, floc-faces, nsdgeneral, " in message
    assert len(run.nodes) == 2


def test_label_not_in_the_ctab(raw, tmp_path):
    areas = {"V1": {"family": "prf-visualrois", "labels": ["V1v", "V1w"]}}
    message, run = raw.with_parameters(tmp_path / "conf", areas=areas).refused(PIPELINE)
    assert message == (
        "\nParameterError: unknown label V1w in the family 'prf-visualrois': expected one of V1v, V1d, V2v, "
        "V2d, V3v, V3d, hV4. Correct the area in the parameters."
    )
    assert "draw_masks" in run.nodes


def test_area_that_no_voxel_has(raw, layout):
    path = layout.roi("subj02", "prf-visualrois")
    rewrite_volume(path, lambda labels: np.where(labels == 7, 0, labels))
    message, run = raw.refused(PIPELINE)
    assert message == (
        "\nReleaseError: subj02: expected voxels labelled hV4 in prf-visualrois.nii.gz, found none (7 hV4 in "
        "prf-visualrois.mgz.ctab). Take the area out of the parameters, or the subject."
    )
    assert "draw_masks" in run.nodes


def test_noise_ceiling_of_nothing_but_nan(raw, layout):
    rewrite_volume(layout.ncsnr("subj02"), lambda ncsnr: np.full_like(ncsnr, np.nan))
    message, run = raw.refused(PIPELINE)
    assert "\nReleaseError: subj02: expected an ncsnr for the voxels of " in message
    assert "found NaN in all" in message
    assert "fetch ncsnr.nii.gz again" in message
    assert "draw_masks" in run.nodes


def test_more_sessions_than_planned(raw, tmp_path):
    project = raw.with_parameters(tmp_path / "conf", release={"sessions": {"subj01": 4}})
    (raw.data / "01_raw" / "nsd.record.json").unlink()
    message, _ = project.refused(PIPELINE)
    assert message.startswith(
        "\nParameterError: subj01: expected between 1 and 3 sessions, as the design file"
    )


def test_subject_not_in_the_design(raw, tmp_path):
    sessions = {"subj01": 3, "subj02": 2, "subj03": 2}
    project = raw.with_parameters(tmp_path / "conf", release={"sessions": sessions})
    (raw.data / "01_raw" / "nsd.record.json").unlink()
    message, run = project.refused(PIPELINE)
    assert message.startswith(
        "\nParameterError: unknown subject 'subj03': expected one of subj01 to subj02, the subjects of the "
        "design file. Correct it in the parameters."
    )
    assert run.nodes == ["take_inventory"]


def test_subject_without_sessions(raw):
    message, run = raw.refused(PIPELINE, release={"subjects": ["subj01", "subj07"]})
    assert "unknown subject subj07: expected some of subj01, subj02 (those under release.sessions)" in message
    assert run.nodes == []


def test_unknown_protocol(raw):
    message, run = raw.refused(PIPELINE, protocol="improved")
    assert message.startswith("\nParameterValidationError: Parameter validation failed:")
    assert "protocol: expected one of published, revised, got 'improved'. Choose one of them." in message
    assert "improved" in message
    assert run.nodes == []


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1"])
def test_unknown_device(raw, device):
    message, run = raw.refused(PIPELINE, device=device)
    expected = f"device: expected auto, cpu, cuda, cuda:n or mps, got '{device}'."
    assert message == f"\nDeviceError: {expected}"
    assert run.nodes == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
@pytest.mark.parametrize("pipeline", ["encoding_joint", "encoding_roi"])
def test_no_cuda_here(raw, pipeline):
    message, run = raw.refused(pipeline, device="cuda")
    assert message.startswith("\nDeviceError: device: 'cuda' was requested, but torch finds 0 CUDA devices.")
    assert "Use `device: auto` or `device: cpu`" in message
    assert run.nodes == []


def test_nested_parameters_are_checked_before_anything_is_made(fresh):
    message, run = fresh.refused(PIPELINE, images={"resampling": "cubic"})
    assert message.endswith("hamming, bicubic, lanczos, got 'cubic'. Did you mean bicubic?")
    assert run.nodes == []


def test_model_file_of_another_version(prepared):
    prepared.run("encoding_joint", fitting={"epochs": 1}, scoring={"resamples": 2})
    path = next(path for path in prepared.data.rglob("gnet8j.h5") if path.is_file())
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    before = prepared.files()
    [score] = [node.name for node in registered["encoding_joint"].nodes if node.name.endswith("score_gnet8j")]
    message, run = prepared.refused("encoding_joint", nodes=[score])
    assert message.startswith(f"\nModelFileError: {path}: expected model version 1, got 99, written by gnet ")
    assert "Refit the model, or read it with that version of gnet." in message
    assert run.nodes == []
    assert prepared.files() == before


def test_betas_of_other_voxels(prepared):
    table = prepared.load("voxels")
    table.drop(index=table.index[3]).reset_index(drop=True).to_parquet(
        prepared.data / "03_primary" / "voxels.parquet"
    )
    message, run = prepared.refused("encoding_joint")
    assert message.startswith(
        f"\nReleaseError: subj01: expected betas of the {(table['subject'] == 'subj01').sum() - 1} voxels in "
    )
    assert "kedro run --pipelines data_engineering,masks --to-outputs betas,voxels" in message
    assert run.nodes == ["choose_voxels_gnet8j"]


def test_a_misspelt_parameter(raw):
    message, run = raw.refused(PIPELINE, protocl="revised")
    assert message.startswith("\nParameterError: protocl: expected one of areas, device, fitting, ")
    assert message.endswith("got 'protocl'. Did you mean protocol?")
    assert run.nodes == []


def test_a_misspelt_pipeline(raw):
    message, _ = raw.failed("encoding_rio")
    assert message.startswith("\nValueError: Failed to find the pipeline named 'encoding_rio'. ")
    assert "encoding_roi" in message
