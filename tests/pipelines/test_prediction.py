"""Predictions for the images of the release and for one's own pictures."""

import numpy as np
import pytest
from PIL import Image

from arrays import arrays

MODELS = ("gnet8j", "gnet8r")
SUBJECTS = ("subj01", "subj02")


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one of them not square, and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, (width, height) in {"wide.png": (90, 60), "square.jpg": (70, 70)}.items():
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_every_image_of_a_subject_is_predicted(encoded):
    encoded.run("prediction")
    images = encoded.load("subject_images")
    for model in MODELS:
        stored = encoded.load(f"{model}_predictions")
        assert list(stored) == list(SUBJECTS)
        for subject in SUBJECTS:
            rows = images.loc[images["subject"] == subject, "image_row"]
            np.testing.assert_array_equal(stored[subject].image_row, rows)
            np.testing.assert_array_equal(
                stored[subject].image_id, encoded.load("image_ids")[rows.to_numpy()]
            )
            predicted = np.asarray(stored[subject].predictions)
            assert predicted.dtype == np.float32
            assert predicted.shape == (len(rows), len(stored[subject].voxel_index))
            assert np.isfinite(predicted).all()
            noise = arrays(encoded.load(f"{model}_noise_model")[subject])
            assert noise["factor"].shape == (len(noise["gain"]),) * 2
    both = [encoded.load(f"{model}_predictions")["subj01"] for model in MODELS]
    np.testing.assert_array_equal(*(np.sort(side.voxel_index) for side in both))


def test_on_request_the_images_of_all_subjects(encoded):
    encoded.run("prediction", only=["gnet8j_predictions"], prediction={"images": "release"})
    stored = encoded.load("gnet8j_predictions")
    for subject in SUBJECTS:
        np.testing.assert_array_equal(stored[subject].image_id, encoded.load("image_ids"))


def test_pictures_of_ones_own(encoded, folder):
    run = encoded.run("pictures", prediction={"folder": str(folder)})
    assert set(run.nodes) == {"predict_pictures_gnet8j", "predict_pictures_gnet8r"}
    for model in MODELS:
        stored = arrays(encoded.load(f"{model}_pictures")["subj01"])
        assert stored["name"].tolist() == ["square.jpg", "wide.png"]
        assert stored["predictions"].shape == (2, len(stored["voxel_index"]))
        assert len(stored["area"]) == len(stored["voxel_index"])
        assert not np.array_equal(*stored["predictions"])


def test_a_folder_that_is_not_there(encoded, tmp_path):
    message, _ = encoded.refused("pictures", prediction={"folder": str(tmp_path / "none")})
    expected = "prediction.folder: expected a folder of pictures, found none at"
    assert message == f"\nParameterError: {expected} {tmp_path / 'none'}."


def test_a_folder_without_pictures(encoded, tmp_path):
    (tmp_path / "empty").mkdir()
    message, _ = encoded.refused("pictures", prediction={"folder": str(tmp_path / "empty")})
    assert message.startswith(
        f"\nParameterError: prediction.folder: expected pictures (PNG, JPEG, ...) in {tmp_path / 'empty'}"
    )


def test_a_picture_cut_short(encoded, folder):
    path = folder / "wide.png"
    path.write_bytes(path.read_bytes()[:5000])
    message, _ = encoded.refused("pictures", prediction={"folder": str(folder)})
    assert message.startswith(f"\nParameterError: {path}: expected a whole picture, found one that cannot be")


def test_images_of_another_size_than_the_models(encoded, folder):
    message, _ = encoded.refused("pictures", images={"pixels": 60}, prediction={"folder": str(folder)})
    assert message == (
        "\nParameterError: images: expected (n, 3, 51, 51), got (2, 3, 60, 60). Prepare them with "
        "images.pixels: 51, or fit a model to these."
    )


@pytest.mark.parametrize("pipeline", ["prediction", "tuning"])
def test_voxels_that_are_not_in_this_release(encoded, pipeline):
    table = encoded.load("voxels")
    lost = table[(table["subject"] == "subj01") & (table["area"] == "V1")].index[:2]
    table.drop(index=lost).reset_index(drop=True).to_parquet(encoded.data / "03_primary" / "voxels.parquet")
    message, _ = encoded.refused(pipeline)
    assert message.startswith("\nModelFileError: subj01: expected the model's ")
    assert "of them. Was the model fitted to another release" in message
