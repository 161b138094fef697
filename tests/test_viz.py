"""What Kedro-Viz shows of the project, read from what `kedro viz build` writes for a browser."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

LAYERS = [
    "01_raw", "02_intermediate", "03_primary", "05_model_input", "06_models", "07_model_output",
    "08_reporting",
]  # fmt: skip
AREAS = {"V1", "V2", "V3", "hV4"}
BOXES = AREAS | {
    "data", "responses", "encoding_joint", "encoding_roi", "controls", "prediction", "reporting", "synthetic",
    "transfer", "tuning",
}  # fmt: skip


@pytest.fixture(scope="module")
def api(whole_run, tmp_path_factory):
    """Folder of the JSON of `kedro viz build --include-previews` on a copy of the project, after a run."""
    project = tmp_path_factory.mktemp("viz")
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, project / name)
    subprocess.run(
        [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"],
        cwd=project,
        env=os.environ | {"GNET_DATA": str(whole_run), "KEDRO_ENV": "tiny", "NSD_ROOT": ""},
        capture_output=True,
        check=True,
    )
    return project / "build" / "api"


@pytest.fixture(scope="module")
def graph(api):
    return json.loads((api / "main").read_text())


def shown(api, graph, kind):
    """What the panel beside the graph shows of each node of a kind, by its name."""
    return {
        node["name"]: json.loads((api / "nodes" / node["id"]).read_text())
        for node in graph["nodes"]
        if node["type"] == kind
    }


def test_the_graph_is_a_dozen_boxes(graph):
    children = graph["modular_pipelines"]["__root__"]["children"]
    assert {child["id"] for child in children if child["type"] == "modularPipeline"} == BOXES
    assert not [child for child in children if child["type"] == "task"]


def test_areas_are_boxes_in_the_synthetic_box(graph):
    children = graph["modular_pipelines"]["synthetic"]["children"]
    boxes = {child["id"] for child in children if child["type"] == "modularPipeline"}
    assert boxes == {f"synthetic.{area}" for area in AREAS}


def test_the_report_alone_leaves_the_last_box(graph):
    names = {node["id"]: node["name"] for node in graph["nodes"]}
    assert [names[dataset] for dataset in graph["modular_pipelines"]["reporting"]["outputs"]] == ["report"]


def test_layers_follow_each_other(graph):
    """Kedro-Viz draws none at all as soon as data of one layer are made from those of a later one."""
    assert graph["layers"] == LAYERS


def test_layers_of_every_pipeline_alone_follow_each_other(api):
    """Each list has all layers, those first in which the pipeline has no data as it happens."""
    for path in (api / "pipelines").iterdir():
        graph = json.loads(path.read_text())
        used = {node["layer"] for node in graph["nodes"] if node.get("layer")}
        assert [layer for layer in graph["layers"] if layer in used] == sorted(used), path.name
        assert used


def test_every_stored_dataset_has_a_layer(graph):
    without = {node["name"] for node in graph["nodes"] if node["type"] == "data" and not node["layer"]}
    assert without == set()


def test_every_stored_dataset_has_a_preview(api, graph):
    data = shown(api, graph, "data")
    without = {name for name, node in data.items() if not node.get("preview")}
    assert without == {"recording", "report"}


def test_figures_and_tables_are_previewed(api, graph):
    data = shown(api, graph, "data")
    figures = {name: node for name, node in data.items() if name.endswith("_figure")}
    assert len(figures) > 10
    assert {node["preview_type"] for node in figures.values()} == {"ImagePreview"}
    assert data["gnet8r_summary"]["preview_type"] == "TablePreview"
    assert "median_r" in data["gnet8r_summary"]["preview"]["columns"]
