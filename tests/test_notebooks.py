"""Notebooks open the catalog and draw; all run on the tiny release, and none carries its outputs."""

import ast
import json
import re

import nbclient
import nbformat
import pytest

from conftest import ROOT
from gnet.pipeline_registry import register_pipelines

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLISHED = {
    "data_preparation",
    "mask_preparation",
    "gnet8j_encoding_multisubjects",
    "gnet8r_encoding_multisubjects",
    "gnet8x_prediction_multisubjects",
    "gnet8j_v_gnet8r_and_transfer_matrix",
    "gnet8x_tuning_analysis_and_accuracy",
    "synthetic_transfer_learning",
}
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def source(path):
    """The code without the magics, which are not Python."""
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells(path, "code")).splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def test_one_for_each_published_notebook():
    counterparts = [
        re.search(r"published notebook `(\w+)`", "".join(cells(path, "markdown")[0]["source"]))[1]
        for path in NOTEBOOKS
    ]
    assert sorted(counterparts) == sorted(PUBLISHED)


@notebooks
def test_the_pipelines_that_it_names_make_what_it_loads(path):
    """They, or what they bring as prerequisites."""
    pipelines = register_pipelines()
    first = "".join(cells(path, "markdown")[0]["source"])
    named = [name for name in re.findall(r"`(\w+)`", first) if name in pipelines] or ["__default__"]
    assert ("Run `kedro run`, the complete analysis" in first) == (named == ["__default__"])
    own = sum(pipelines[name] for name in named)
    before = pipelines["__default__"].to_outputs(*(own.inputs() & pipelines["__default__"].all_outputs()))
    loaded = re.findall(r'catalog\.load\("([\w.]+)"\)', source(path))
    assert set(loaded) <= own.all_outputs() | before.all_outputs() | {"recording"}


@notebooks
def test_outputs_are_stripped(path):
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}


@notebooks
def test_opens_the_catalog_and_draws(path):
    assert "".join(cells(path, "code")[0]["source"]).startswith("import logging\n")
    tree = ast.parse(source(path))
    kinds = {type(node) for node in ast.walk(tree)}
    assert not kinds & {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda}
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "catalog.load" in calls
    assert not {name for name in calls if re.search(r"(^|\.)(open|Path|read_\w+|to_csv|savefig)$", name)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    path_like = re.compile(r"\w/\w|^~|\.(csv|gz|h5|hdf5|nii|npy|parquet|png)$")
    assert not [text for text in texts if isinstance(text, str) and path_like.search(text)]


@notebooks
def test_every_code_follows_an_explanation(path):
    kinds = [cell["cell_type"] for cell in json.loads(path.read_text())["cells"]]
    assert kinds[:4] == ["markdown", "code", "code", "markdown"]
    assert kinds.count("markdown") >= 4


@notebooks
def test_runs_on_the_tiny_release(path, whole_run, tmp_path, monkeypatch):
    for name, value in {
        "GNET_DATA": whole_run, "KEDRO_ENV": "tiny", "NSD_ROOT": "",
        "IPYTHONDIR": tmp_path / "ipython", "JUPYTER_DATA_DIR": tmp_path / "jupyter",
        "JUPYTER_RUNTIME_DIR": tmp_path / "runtime", "JUPYTER_PREFER_ENV_PATH": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    said = "".join(str(output.get("text") or output["data"].get("text/plain")) for output in outputs)
    assert "warning" not in said.lower()
    assert "INFO" not in said
