import h5py
import numpy as np
import pytest

from gnet.errors import ReleaseError
from gnet.readers.nsd.stimuli import prepared_images, stimulus_shape
from gnet.recording.pictures import resize


@pytest.mark.parametrize("rows", [[0, 3, 4, 9, 12], [9, 0, 12, 0, 4, 3, 14]])
@pytest.mark.parametrize("block", [1, 2, 100])
def test_prepared_images_stand_in_the_order_asked_for(release, rows, block):
    prepared = prepared_images(release.layout, np.array(rows), 5, "bilinear", block=block)
    blocks = list(prepared)
    assert max(len(part) for part in blocks) <= block
    assert prepared.shape == (len(rows), 3, 5, 5)
    assert prepared.dtype == np.uint8
    assert len(prepared) == len(rows)
    np.testing.assert_array_equal(np.concatenate(blocks), resize(release.images[rows], 5))
    np.testing.assert_array_equal(np.concatenate(list(prepared)), np.concatenate(blocks))


@pytest.mark.parametrize("storage", [{}, {"chunks": (1, 12, 12, 3)}, {"compression": "gzip"}])
@pytest.mark.parametrize("userblock", [0, 512])
def test_images_stored_otherwise_are_the_same(release, storage, userblock):
    with h5py.File(release.layout.stimuli, "w", userblock_size=userblock) as file:
        file.create_dataset("imgBrick", data=release.images, **storage)
    rows = np.array([9, 0, 12, 0, 4])
    prepared = np.concatenate(list(prepared_images(release.layout, rows, 5, block=2)))
    np.testing.assert_array_equal(prepared, resize(release.images[rows], 5))


@pytest.mark.parametrize("pixels", [5, 12])
def test_preparing_ends_early_without_trouble(release, pixels):
    blocks = iter(prepared_images(release.layout, np.arange(15), pixels, block=1))
    np.testing.assert_array_equal(next(blocks), resize(release.images[:1], pixels))
    blocks.close()


def test_damaged_images_of_a_compressed_file(release):
    with h5py.File(release.layout.stimuli, "w") as file:
        brick = file.create_dataset(
            "imgBrick", data=release.images, chunks=(4, 12, 12, 3), compression="gzip", fletcher32=True
        )
        chunk = brick.id.get_chunk_info(1)
    with release.layout.stimuli.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(b"damaged")
    with pytest.raises(ReleaseError, match=r"images 5 to 8, but reading them fails .* again: aws s3 cp"):
        list(prepared_images(release.layout, np.arange(15), 5, block=4))


def test_stimuli_file_with_too_few_images(release):
    release.write_stimuli(release.images[:10])
    assert stimulus_shape(release.layout)[0] == 10
    with pytest.raises(
        ReleaseError,
        match=r"expected the image with 73k-ID 13, .* found 10 images\. Fetch",
    ):
        prepared_images(release.layout, np.array([3, 12]), 5)


def test_damaged_stimuli_file(release, cut):
    cut(release.layout.stimuli)
    with pytest.raises(ReleaseError, match=r"cannot be opened .*truncated file.* again: aws s3 cp"):
        stimulus_shape(release.layout)
    release.layout.stimuli.unlink()
    with pytest.raises(ReleaseError, match=r"the images of the release, found no such file. Fetch it: aws"):
        stimulus_shape(release.layout)


def test_stimuli_of_another_kind(release):
    release.write_stimuli(release.images, name="stimuli")
    with pytest.raises(ReleaseError, match=r"expected a dataset imgBrick of uint8 .* found only stimuli\."):
        stimulus_shape(release.layout)
    release.write_stimuli(release.images.astype(np.float32))
    with pytest.raises(ReleaseError, match="found float32 of shape 15 x 12 x 12 x 3"):
        stimulus_shape(release.layout)


@pytest.mark.parametrize(("image", "colour"), [(4, 0), (14, 255)])
def test_images_that_were_never_written(release, image, colour):
    images = release.images.copy()
    images[image] = colour
    release.write_stimuli(images)
    with pytest.raises(
        ReleaseError,
        match=rf"nsd_stimuli.hdf5: .* with 73k-ID {image + 1}, found one colour: the file is dam",
    ):
        list(prepared_images(release.layout, np.arange(15), 6, block=4))
    images[image, 5, 5] = 99  # a picture, though a dull one, and with an even edge
    release.write_stimuli(images)
    assert sum(map(len, prepared_images(release.layout, np.arange(15), 6, block=4))) == 15


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 5, 6, 3), np.uint8), "uint8 of shape 2 x 5 x 6 x 3"),
        (np.zeros((2, 0, 0, 3), np.uint8), "uint8 of shape 2 x 0 x 0 x 3"),
        (h5py.Empty("u1"), "uint8 of shape "),
        (h5py.SoftLink("/imgBrick"), "cannot be opened"),
    ],
)
def test_files_of_other_images(release, images, found):
    release.write_stimuli(images)
    with pytest.raises(ReleaseError, match=rf"nsd_stimuli.hdf5: expected .*{found}"):
        prepared_images(release.layout, np.arange(2), 6)
