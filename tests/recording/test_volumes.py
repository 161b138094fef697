import gzip

import nibabel
import numpy as np
import pytest

from gnet.errors import ReleaseError
from gnet.recording.volumes import flat_index, read_volume, write_volume

AFFINE = np.array([[1.8, 0, 0, -71.1], [0, 1.8, 0, -92.7], [0, 0, 1.8, -73.8], [0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 2)])
def test_what_is_written_is_read(tmp_path, dtype, shape):
    data = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    write_volume(tmp_path / "new" / "volume.nii.gz", data, AFFINE)
    volume = read_volume(tmp_path / "new" / "volume.nii.gz", shape)
    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-6)


def test_masks_are_written_as_bytes_and_nan_survives(tmp_path):
    write_volume(tmp_path / "mask.nii.gz", np.eye(3, dtype=bool)[..., None], AFFINE)
    assert read_volume(tmp_path / "mask.nii.gz").data.dtype == np.uint8
    write_volume(tmp_path / "ncsnr.nii.gz", np.full((1, 2, 2), np.nan, dtype=np.float32), AFFINE)
    assert np.isnan(read_volume(tmp_path / "ncsnr.nii.gz").data).all()


def test_uncompressed_volumes_too(tmp_path):
    write_volume(tmp_path / "volume.nii", np.ones((2, 2, 2), dtype=np.int16), AFFINE)
    assert nibabel.load(tmp_path / "volume.nii").shape == (2, 2, 2)


def test_same_numbers_give_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, np.ones((2, 3, 4), dtype=np.int16), AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == bytes(4)  # gzip's time of writing


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(nibabel.Nifti1Image, "to_stream", fail)
    with pytest.raises(OSError, match="no space left"):
        write_volume(tmp_path / "volume.nii.gz", np.ones((2, 3, 4), dtype=np.int16), AFFINE)
    assert list(tmp_path.iterdir()) == []


def test_scaled_volumes_come_out_in_their_unit(tmp_path):
    image = nibabel.Nifti1Image(np.full((2, 2, 2), 3, dtype=np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 1)
    nibabel.save(image, tmp_path / "scaled.nii.gz")
    stored = nibabel.load(tmp_path / "scaled.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "scaled.nii.gz").data, stored.get_fdata())


def test_missing_damaged_and_misshapen_volumes_are_named(tmp_path):
    path = tmp_path / "aseg.nii.gz"
    with pytest.raises(ReleaseError, match=r"aseg.nii.gz: expected a NIfTI volume, found no such file"):
        read_volume(path)
    write_volume(path, np.random.default_rng(0).random((6, 6, 6)), AFFINE)
    with pytest.raises(
        ReleaseError, match=r"expected a volume of 6 x 6 x 7 voxels, .* found 6 x 6 x 6. Fetch the file"
    ):
        read_volume(path, (6, 6, 7))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ReleaseError, match=r"aseg.nii.gz: expected a NIfTI volume, but it cannot be read"):
        read_volume(path)
    path.write_bytes(gzip.compress(b"no volume at all"))
    with pytest.raises(ReleaseError, match="cannot be read"):
        read_volume(path)
    path.write_bytes(b"")
    with pytest.raises(ReleaseError, match="cannot be read"):
        read_volume(path)


def test_flipped_bits_do_not_pass_as_numbers(tmp_path):
    path = tmp_path / "aseg.nii.gz"
    data = np.random.default_rng(0).integers(0, 9, (12, 12, 12)).astype(np.int16)
    with gzip.GzipFile(path, "wb", compresslevel=0, mtime=0) as file:  # as it is: no bit of it is a code
        nibabel.Nifti1Image(data, AFFINE, dtype=data.dtype).to_stream(file)
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert (np.asanyarray(nibabel.load(path).dataobj) != data).sum() == 1  # nibabel does not mind
    with pytest.raises(ReleaseError, match=r"aseg.nii.gz: .* cannot be read \(CRC check failed"):
        read_volume(path)


def test_numbers_that_are_not_real(tmp_path):
    path = tmp_path / "aseg.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.complex64), AFFINE), path)
    with pytest.raises(ReleaseError, match="expected a volume of real numbers, found complex64"):
        read_volume(path)


def test_flat_index_is_c_order_over_x_y_z():
    shape = (3, 4, 5)
    mask = np.random.default_rng(0).random(shape) < 0.4
    index = flat_index(mask)
    x, y, z = np.unravel_index(index, shape)
    np.testing.assert_array_equal(index, (x * 4 + y) * 5 + z)
    assert mask[x, y, z].all()
    assert len(index) == mask.sum()
    np.testing.assert_array_equal(flat_index(np.asfortranarray(mask)), index)
