"""FigureDataset: a picture that is whole or not there, and that Kedro-Viz shows."""

import base64
import io

import pytest
from kedro.io.core import DatasetError, Version
from matplotlib.figure import Figure
from PIL import Image

from gnet.io.figures import FigureDataset


@pytest.fixture
def dataset(tmp_path):
    return FigureDataset(filepath=tmp_path / "08" / "figure.png")


def size(png):
    return Image.open(io.BytesIO(png)).size


def test_a_picture_of_the_figure_s_size_comes_back(dataset):
    dataset.save(Figure(figsize=(2, 1), dpi=50))
    assert size(dataset.load()) == (100, 50)


def test_the_preview_is_the_picture(dataset):
    dataset.save(Figure(figsize=(2, 1), dpi=50))
    assert base64.b64decode(dataset.preview()) == dataset.load()


def test_arguments_go_to_matplotlib(tmp_path):
    dataset = FigureDataset(filepath=tmp_path / "figure.png", save_args={"dpi": 30})
    dataset.save(Figure(figsize=(2, 1), dpi=50))
    assert size(dataset.load()) == (60, 30)


def test_versions(tmp_path):
    dataset = FigureDataset(filepath=tmp_path / "figure.png", version=Version(None, "now"))
    dataset.save(Figure(figsize=(1, 1)))
    assert (tmp_path / "figure.png" / "now" / "figure.png").read_bytes() == dataset.load()


def test_a_failed_drawing_leaves_nothing(dataset, tmp_path):
    class Broken(Figure):
        def savefig(self, *args, **kwargs):
            super().savefig(*args, **kwargs)
            raise RuntimeError("disk full")

    with pytest.raises(DatasetError, match="disk full"):
        dataset.save(Broken(figsize=(1, 1)))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda dataset: dataset.save("figure"), "expected a Matplotlib figure, found str; return a Figure"),
        (lambda dataset: dataset.load(), "expected a file, found none; run the pipeline that makes it"),
        (lambda dataset: FigureDataset(filepath="figure.jpg"), "expected a name that ends in .png"),
    ],
)
def test_refusals(dataset, act, message):
    with pytest.raises(DatasetError, match=message):
        act(dataset)
