import logging

import h5py
import nibabel
import numpy as np
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd import betas as betas_module
from gnet.readers.nsd.betas import percent, prepare_betas, read_session
from gnet.recording.responses import zscore_session
from gnet.recording.volumes import flat_index

SUBJECT, SESSION = "subj02", 2


def chosen(release, subject=SUBJECT):
    mask = np.random.default_rng(1).random(release.shapes[subject]) < 0.5
    return mask, flat_index(mask)


def read(release, file_format, index=None, session=SESSION):
    index = chosen(release)[1] if index is None else index
    path = release.layout.betas(SUBJECT, session, file_format)
    return read_session(path, index, release.shapes[SUBJECT], release.trials)


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_both_formats_give_the_masked_numbers(release, file_format):
    mask, _ = chosen(release)
    responses = read(release, file_format)
    assert responses.dtype == np.int16
    np.testing.assert_array_equal(responses, release.betas[SUBJECT][SESSION - 1][:, mask])


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_voxels_come_in_the_order_asked_for(release, file_format):
    index = np.random.default_rng(2).permutation(chosen(release)[1])
    expected = release.betas[SUBJECT][SESSION - 1].reshape(release.trials, -1)[:, index]
    np.testing.assert_array_equal(read(release, file_format, index), expected)
    assert read(release, file_format, index[:0]).shape == (release.trials, 0)


@pytest.mark.parametrize("storage", [{"chunks": None}, {"chunks": (2, 3, 2, 4)}, {"compression": "gzip"}])
def test_files_stored_otherwise_read_the_same(release, storage, monkeypatch):
    monkeypatch.setattr(betas_module, "READ_BYTES", 500)  # two volumes at a time
    mask, _ = chosen(release)
    betas = release.betas[SUBJECT][SESSION - 1]
    release.write_hdf5(SUBJECT, SESSION, betas, **storage)
    np.testing.assert_array_equal(read(release, "hdf5"), betas[:, mask])


def test_big_endian_files_read_the_same(release):
    mask, _ = chosen(release)
    betas = release.betas[SUBJECT][SESSION - 1]
    release.write_hdf5(SUBJECT, SESSION, betas.astype(">i2"))
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    image = nibabel.Nifti1Image(betas.transpose(1, 2, 3, 0), np.eye(4), header)
    nibabel.save(image, release.layout.betas(SUBJECT, SESSION, "nifti"))
    assert nibabel.load(release.layout.betas(SUBJECT, SESSION, "nifti")).get_data_dtype() == ">i2"
    for file_format in ("hdf5", "nifti"):
        np.testing.assert_array_equal(read(release, file_format), betas[:, mask])


def test_percent_is_the_release_divided_by_300():
    stored = np.array([[32767, -3, 0]], dtype=np.int16)
    np.testing.assert_allclose(percent(stored), [[109.22333, -0.01, 0]], rtol=1e-6)


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_prepared_betas_are_zscored_within_each_session(release, file_format):
    mask, index = chosen(release)
    betas, valid = prepare_betas(
        release.layout, SUBJECT, 3, release.trials, index, release.shapes[SUBJECT], file_format
    )
    assert betas.shape == (3 * release.trials, len(index))
    assert valid.shape == (3, len(index))
    assert valid.all()
    for session in range(3):
        expected = zscore_session(percent(release.betas[SUBJECT][session][:, mask]))
        np.testing.assert_array_equal(betas[session * 6 : (session + 1) * 6], expected)


def test_blocks_of_voxels_change_no_number(release, monkeypatch):
    arguments = (
        release.layout,
        "subj01",
        4,
        release.trials,
        np.arange(120),
        release.shapes["subj01"],
        "hdf5",
    )
    whole = prepare_betas(*arguments)
    monkeypatch.setattr(betas_module, "ZSCORED_VOXELS", 7)
    for expected, found in zip(whole, prepare_betas(*arguments), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_sessions_without_data_are_nan_for_their_voxels_only(release, caplog):
    shape = release.shapes["subj01"]
    index = np.arange(np.prod(shape))
    with caplog.at_level(logging.WARNING):
        betas, valid = prepare_betas(release.layout, "subj01", 4, release.trials, index, shape, "hdf5")
    expected = np.ones((4, *shape), dtype=bool)
    expected[1, 2, 3, 1] = False  # no data, and not valid
    expected[1, 0, 5, 3] = False  # not valid, whatever its numbers
    expected[2, 4, 0, 2] = False  # constant, though called valid
    np.testing.assert_array_equal(valid, expected.reshape(4, -1))
    np.testing.assert_array_equal(
        ~np.isnan(betas), np.repeat(expected.reshape(4, -1), release.trials, axis=0)
    )
    assert (
        "subj01: 3 of 120 voxels have no data in one session or more: their responses there are NaN"
        in caplog.text
    )


def test_constant_voxels_are_found_without_valid_sessions(release):
    for session in range(1, 5):
        release.layout.valid_session("subj01", session).unlink()
    shape = release.shapes["subj01"]
    _, valid = prepare_betas(
        release.layout, "subj01", 4, release.trials, np.arange(np.prod(shape)), shape, "nifti"
    )
    assert (~valid).sum() == 2
    assert not valid[1].reshape(shape)[2, 3, 1]


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_missing_middle_session_is_named_with_its_command(release, file_format):
    path = release.layout.betas(SUBJECT, 2, file_format)
    path.unlink()
    with pytest.raises(
        ReleaseError,
        match=rf"subj02, session 2: .*{path.name}: .* found no such file\. Fetch it: aws s3 cp .*{path.name}",
    ):
        prepare_betas(release.layout, SUBJECT, 3, 6, np.arange(4), release.shapes[SUBJECT], file_format)


@pytest.mark.parametrize("fraction", [0.98, 0.5, 0.001])
@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_truncated_session(release, cut, file_format, fraction):
    path = release.layout.betas(SUBJECT, 2, file_format)
    cut(path, fraction)
    with pytest.raises(ReleaseError, match=rf"{path.name}: expected a session of 6 trials, but .* truncated"):
        read(release, file_format)


def test_nifti_shorter_than_its_header_says(release, cut):
    path = release.layout.betas(SUBJECT, 2, "nifti")
    image = nibabel.load(path)
    plain = path.with_name("plain.nii")
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), np.eye(4)), plain)
    cut(plain, 0.6)
    with pytest.raises(ReleaseError, match="expected 6 trials, found only 3 whole ones: the file is"):
        read_session(plain, np.arange(3), release.shapes[SUBJECT], release.trials)


def test_damaged_bytes_do_not_pass_as_numbers(release):
    path = release.layout.betas(SUBJECT, 2, "nifti")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"damaged|truncated"):
        read(release, "nifti")


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_sessions_of_another_shape_or_type(release, file_format):
    betas = release.betas[SUBJECT][SESSION - 1]

    def write(numbers):
        release.write_hdf5(SUBJECT, SESSION, numbers)
        release.write_nifti(release.layout.betas(SUBJECT, SESSION, "nifti"), numbers.transpose(1, 2, 3, 0))

    wrong_order, fewer = {
        "hdf5": ("6 x 5 x 6 x 4", "5 x 6 x 5 x 4"),
        "nifti": ("4 x 6 x 5 x 6", "4 x 5 x 6 x 5"),
    }[file_format]
    write(betas.transpose(0, 1, 3, 2))
    with pytest.raises(ReleaseError, match=f"expected betas of shape .* found {wrong_order}"):
        read(release, file_format)
    write(betas[:5])
    with pytest.raises(ReleaseError, match=f"expected betas of shape .* found {fewer}"):
        read(release, file_format)
    write(betas.astype(np.float32))
    with pytest.raises(ReleaseError, match=r"expected betas of int16 \(300 x percent .*\), found float32"):
        read(release, file_format)


def test_files_of_another_kind(release):
    path = release.layout.betas(SUBJECT, SESSION, "hdf5")
    with h5py.File(path, "w") as file:
        file["responses"] = np.zeros(3)
    with pytest.raises(ReleaseError, match="expected a dataset 'betas', found responses"):
        read(release, "hdf5")
    image = nibabel.Nifti1Image(release.betas[SUBJECT][1].transpose(1, 2, 3, 0), np.eye(4))
    image.header.set_slope_inter(1 / 300, 0)
    nibabel.save(image, release.layout.betas(SUBJECT, SESSION, "nifti"))
    with pytest.raises(ReleaseError, match=r"expected betas of plain int16, found .* scaled by 0.00333"):
        read(release, "nifti")


def test_valid_session_of_other_numbers(release):
    for value in (2, -1, np.nan):
        volume = np.ones((4, 5, 6), dtype=np.float32)
        volume[1, 1, 1] = value
        release.write_nifti(release.layout.valid_session(SUBJECT, 1), volume)
        with pytest.raises(
            ReleaseError, match=r"valid_session01.nii.gz: expected 1 where the session has data"
        ):
            prepare_betas(release.layout, SUBJECT, 3, 6, np.arange(4), release.shapes[SUBJECT], "hdf5")


def test_session_whose_last_trials_were_never_written(release):
    betas = release.betas[SUBJECT][1].copy()
    betas[4:] = 0
    release.write_hdf5(SUBJECT, 2, betas)
    with pytest.raises(
        ReleaseError,
        match=r"subj02, session 2: .*session02.hdf5: .* in 2 trials, the first of them trial 5: .* Fetch it",
    ):
        prepare_betas(release.layout, SUBJECT, 3, 6, np.arange(120), release.shapes[SUBJECT], "hdf5")


def test_trial_of_another_session(release):
    betas = release.betas[SUBJECT][2].copy()
    betas[1] = release.betas[SUBJECT][0][5]
    release.write_hdf5(SUBJECT, 3, betas)
    with pytest.raises(
        ReleaseError,
        match=r"session03.hdf5: .* those of trial 6 of betas_session01.hdf5 again in trial 2: one",
    ):
        prepare_betas(release.layout, SUBJECT, 3, 6, np.arange(120), release.shapes[SUBJECT], "hdf5")


def test_unknown_format(release):
    with pytest.raises(ParameterError, match="unknown file format 'mgh'"):
        prepare_betas(release.layout, SUBJECT, 3, 6, np.arange(4), release.shapes[SUBJECT], "mgh")


def test_valid_session_of_another_shape(release):
    release.write_nifti(release.layout.valid_session(SUBJECT, 1), np.ones((4, 5, 7), dtype=np.uint8))
    with pytest.raises(ReleaseError, match=r"valid_session01.nii.gz: expected a volume of 4 x 5 x 6 voxels"):
        prepare_betas(release.layout, SUBJECT, 3, 6, np.arange(4), release.shapes[SUBJECT], "hdf5")
