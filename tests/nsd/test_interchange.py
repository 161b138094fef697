import h5py
import jaxtyping
import numpy as np
import pytest

from gnet.errors import ParameterError, ReleaseError
from gnet.nsd.interchange import ChosenImages, InterchangeImages, interchange_path, write_interchange
from gnet.nsd.stimuli import PreparedImages, resize


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 3, 5, 5), dtype=np.uint8)


@pytest.fixture
def path(tmp_path, images):
    path = interchange_path(tmp_path, "subj03", 5)
    write_interchange(path, ChosenImages(images, np.arange(11), block=4))
    return path


def test_names_are_those_of_the_original_authors(tmp_path):
    assert interchange_path(tmp_path, "subj08").name == "S8_stimuli_227.h5py"
    with pytest.raises(ParameterError):
        interchange_path(tmp_path, "bert")


def test_a_subjects_images_from_the_release_in_the_designs_order(tmp_path, release):
    rows = release.design["subjectim"][1].astype(int) - 1
    prepared = PreparedImages(release.layout, rows, 5, block=3)
    path = interchange_path(tmp_path, "subj02", 5)
    write_interchange(path, prepared)
    with h5py.File(path) as file:
        assert list(file) == ["stimuli"]
        assert file["stimuli"].dtype == np.uint8
        np.testing.assert_array_equal(file["stimuli"][()], resize(release.images[rows], 5))


def test_chosen_images_are_rows_in_the_order_asked_for(images):
    rows = np.array([3, 0, 3, 10])
    np.testing.assert_array_equal(np.concatenate(list(ChosenImages(images, rows, block=3))), images[rows])
    assert ChosenImages(images, rows).shape == (4, 3, 5, 5)


@pytest.mark.parametrize("block", [1, 4, 100])
def test_reading_block_by_block(path, images, block):
    stored = InterchangeImages(path, expected=11, block=block)
    blocks = list(stored)
    assert max(len(part) for part in blocks) == min(block, 11)
    np.testing.assert_array_equal(np.concatenate(blocks), images)
    assert (stored.shape, stored.dtype, len(stored)) == (images.shape, np.uint8, 11)


@pytest.mark.parametrize(
    "rows", [[7, 2, 2, 10], [4, 5, 6], [-1, 0], [], slice(2, 9, 3), slice(None), np.arange(11) % 2 == 0]
)
def test_reading_rows(path, images, rows):
    rows = rows if isinstance(rows, slice) else np.array(rows, dtype=None if len(rows) else int)
    np.testing.assert_array_equal(InterchangeImages(path)[rows], images[rows])


def test_what_is_read_can_be_written_again(tmp_path, path, images):
    write_interchange(tmp_path / "again.h5py", InterchangeImages(path))
    np.testing.assert_array_equal(InterchangeImages(tmp_path / "again.h5py")[:], images)


def test_images_that_cannot_be_written(tmp_path, images, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of shapes
    path = tmp_path / "S1.h5py"
    for wrong, message in (
        (images[:, :1], r"expected square colour images .*, got 11 x 1 x 5 x 5"),
        (images[:, :, :4], r"expected square colour images .*, got 11 x 3 x 4 x 5"),
        (images / 255, r"expected uint8 blocks of 11 x 3 x 5 x 5 in all, got float64 .* from image 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            write_interchange(path, ChosenImages(wrong, np.arange(11)))
    for promised, message in (
        (12, "expected 12, as their shape says, got 11"),
        (10, "in all, got uint8 .* from"),
    ):
        stream = ChosenImages(images, np.arange(11))
        stream.shape = (promised, 3, 5, 5)
        with pytest.raises(ParameterError, match=message):
            write_interchange(path, stream)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_there_or_damaged(path):
    with pytest.raises(ReleaseError, match=r"S9.* expected prepared images of a subject, found no such file"):
        InterchangeImages(path.with_name("S9_stimuli_227.h5py"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReleaseError, match=r"cannot be opened \(.*truncated.*\)\. Copy it again"):
        InterchangeImages(path)


def test_files_of_another_kind(path, images):
    with pytest.raises(
        ReleaseError, match="expected 10,000 images, one per position of the design, found 11"
    ):
        InterchangeImages(path, expected=10_000)
    for name, content, message in (
        ("imgBrick", images, "expected a dataset stimuli, found imgBrick"),
        ("stimuli", images / 255, "found float64 of shape 11 x 3 x 5 x 5"),
        ("stimuli", images.transpose(0, 2, 3, 1), "found uint8 of shape 11 x 5 x 5 x 3"),
    ):
        with h5py.File(path, "w") as file:
            file.create_dataset(name, data=content)
        with pytest.raises(ReleaseError, match=message):
            InterchangeImages(path)
