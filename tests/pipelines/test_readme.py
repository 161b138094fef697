"""The README's Python, run as it stands there: on models that a run made, and on arrays."""

import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def code(word):
    [block] = [block for block in CODE if word in block]
    return block


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_that_a_run_made_predicts_a_picture(either, folder, capsys):
    (folder / "data").symlink_to(either.data)
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(folder / "picture.png")
    exec(code("PIL.Image"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6
    assert {"voxel_index", "x", "y", "z", "area", "response"} <= set(printed[0].split())
    assert all(" V1 " in line for line in printed[1:])


def test_a_fit_of_arrays(folder, capsys):
    exec(code("gnet.fit("), {})
    assert capsys.readouterr().out.endswith("(5, 50)\n")
    assert (folder / "mine.h5").is_file()


def test_a_result_is_opened_by_its_name(either):
    [name] = re.findall(r'catalog.load\("(\w+)"\)', code("catalog.load"))
    assert len(either.load(name))
