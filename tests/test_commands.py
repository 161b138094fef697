"""The command `gnet`."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import gnet
from gnet.__main__ import main
from gnet.models.checkpoints import read_models, save_models
from gnet.models.interchange.pickles import read_pickle
from gnet.models.interchange.reading import import_checkpoints


@pytest.fixture
def run():
    def run(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def checkpoint(reference):
    return reference / "model_params_gnet8j.pt"


def test_import_and_export_again(run, tmp_path, reference, checkpoint):
    with np.load(reference / "encoder_eval.npz") as arrays:
        pixels = arrays["images_uint8"].shape[-1]
    model, again = tmp_path / "model.h5", tmp_path / "again.pt"
    result = run("import-checkpoint", checkpoint, "--to", model, "--pixels", pixels)
    assert result.exit_code == 0, result.output
    assert result.output.endswith(f"images of {pixels} pixels\n")
    assert "subj01" in result.output
    result = run("export-checkpoint", model, "--to", again)
    assert result.exit_code == 0, result.output
    found, expected = (read_pickle(path)["best_params"]["enc"] for path in (again, checkpoint))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    [back], [stored] = import_checkpoints([again]), read_models(model)
    assert back.configuration == stored.configuration


def test_a_file_of_several_networks_is_exported_as_several(run, tmp_path, checkpoint):
    [model] = import_checkpoints([checkpoint])
    save_models([model, model], tmp_path / "two.h5")
    result = run("export-checkpoint", tmp_path / "two.h5", "--to", tmp_path / "V.pt")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["V-1.pt", "V-2.pt"]


def test_files_that_exist_are_kept_unless_told_otherwise(run, tmp_path, checkpoint):
    model = tmp_path / "model.h5"
    model.write_bytes(b"precious")
    result = run("import-checkpoint", checkpoint, "--to", model)
    assert result.exit_code == 1
    assert "model.h5: expected a new file, found one. Choose another or add --overwrite." in result.output
    assert model.read_bytes() == b"precious"
    assert run("import-checkpoint", checkpoint, "--to", model, "--overwrite").exit_code == 0
    (tmp_path / "a.pt").write_bytes(b"precious")
    assert "expected a new file" in run("export-checkpoint", model, "--to", tmp_path / "a.pt").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["import-checkpoint", "{path}", "--to", "{to}"],
            "Error: {path}: expected a checkpoint written by torch",
        ),
        (["import-checkpoint", "{folder}", "--to", "{to}"], "found a folder. Give the file in it."),
        (["export-checkpoint", "{path}", "--to", "{to}"], "Error: {path}: expected a model in HDF5"),
        (["import-checkpoint", "{path}"], "Missing option '--to'"),
        (["import-checkpoint", "--to", "{to}"], "Missing argument"),
        (["import-checkpoint", "{path}x", "--to", "{to}"], "does not exist"),
    ],
)
def test_mistakes_are_said_in_a_line(run, tmp_path, arguments, message):
    path = tmp_path / "letter.txt"
    path.write_text("Dear all")
    places = {"path": path, "folder": tmp_path, "to": tmp_path / "to"}
    result = run(*(argument.format(**places) for argument in arguments))
    assert result.exit_code in (1, 2)
    assert message.format(**places) in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_size_of_images(run, tmp_path, checkpoint):
    result = run("import-checkpoint", checkpoint, "--to", tmp_path / "to", "--pixels", 500)
    assert result.exit_code == 1
    assert "gnet8j.pt: pixels: images of 500 give maps of" in result.output


def test_help_and_version(run):
    assert gnet.__version__ in run("--version").output
    shown = run("--help").output
    assert "import-checkpoint" in shown
    assert "export-checkpoint" in shown
