"""The report of the tiny release: everything is made, and what is stored can be read back."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from gnet.figures.report import FIGURES
from gnet.pipelines import reporting
from gnet.pipelines.reporting.nodes import draw_volume_slices
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.reader import NSDReader
from gnet.recording.volumes import read_volume

AREAS = ("V1", "V2", "V3", "hV4")
SUBJECTS = ("subj01", "subj02")
MAPS = (
    "r", "variance_explained", "ceiling", "fev", "x", "y", "eccentricity", "size", "lower_unique_share",
    "argmax_layer",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:One or more dataset names contain")
def test_what_it_asks_for_and_makes():
    pipeline = reporting.create_pipeline(("V1", "FFA"))
    assert {"synthetic.FFA.transfer", "FFA.gnet8r", "gnet8j", "maps", "report"} <= pipeline.datasets()
    figures = {name for name in pipeline.all_outputs() if name.endswith("_figure")}
    assert figures == set(FIGURES) - {"gnet8j_figure", "gnet8r_figure"}
    assert pipeline.outputs() == {"report"}


@pytest.fixture(scope="module")
def reported(project_at, whole_run):
    """A project after the default run."""
    return project_at(whole_run)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_pictures(reported, name):
    assert reported.load(name).startswith(b"\x89PNG")


def test_every_fit_has_a_history(reported):
    history = reported.load("fit_history")
    assert history.groupby("kind")["fit"].nunique().to_dict() == {
        "joint": 1, "area-wise": 4, "transfer": 4,
        "synthetic joint": 1, "synthetic area-wise": 4, "synthetic transfer": 4,
    }  # fmt: skip
    assert (history.groupby("fit")["best"].sum() == 1).all()
    assert set(history["area"]) == {"", *AREAS}
    assert history.loc[history["area"] == "", "kind"].str.endswith("joint").all()


def test_output_correlation_is_that_of_the_predictions(reported):
    table = reported.load("output_correlation")
    assert table["area"].drop_duplicates().tolist() == list(AREAS)
    row = table[table["subject"] == "subj02"].iloc[-1]
    columns = []
    for model in ("gnet8j", "gnet8r"):
        stored = reported.load(f"{model}_predictions")["subj02"]
        column = np.flatnonzero(stored.voxel_index == row["voxel_index"])
        columns.append(stored.of(np.arange(len(stored.image_row)), column)[:, 0])
    assert row["correlation"] == pytest.approx(np.corrcoef(*columns)[0, 1], rel=1e-5)


def test_maps_can_be_read_back(reported):
    maps = reported.load("maps")
    names = {
        f"{subject}/{model}/{name}" for subject in SUBJECTS for model in ("gnet8j", "gnet8r") for name in MAPS
    }
    assert set(maps) == names
    layout = Layout(reported.data / "01_raw" / "nsd")
    accuracy = reported.load("gnet8r_accuracy")
    for subject in SUBJECTS:
        brain, volume = read_volume(layout.brainmask(subject)), maps[f"{subject}/gnet8r/r"]
        assert volume.data.shape == brain.data.shape
        np.testing.assert_array_equal(volume.affine, brain.affine)
        known = accuracy[accuracy["subject"] == subject].dropna(subset=["r"])
        here = np.unravel_index(known["voxel_index"], volume.data.shape)
        np.testing.assert_allclose(volume.data[here], known["r"], rtol=1e-6)
        assert np.isfinite(volume.data).sum() == len(known)
        layers = maps[f"{subject}/gnet8j/argmax_layer"].data
        assert set(layers[np.isfinite(layers)]) <= set(range(1, 8))


def test_tables_beside_the_published_ones(reported):
    table = reported.load("accuracy_against_published").set_index(["subj", "ROI", "source"])
    summary = reported.load("gnet8j_summary").set_index(["subject", "area"])
    ours = table.loc[(2, "V3", "ours"), "GNet8j-fpf"]
    assert ours == pytest.approx(summary.loc[("subj02", "V3"), "variance_explained"])
    published = table.loc[(2, "V3", "published"), "GNet8j-fpf"]
    assert table.loc[(2, "V3", "difference"), "GNet8j-fpf"] == pytest.approx(ours - published)
    assert table.loc[(7, "V1", "ours")].isna().all()
    index = reported.load("hierarchy_index_against_published").set_index(["set", "subj", "source"])["mean"]
    measured = reported.load("hierarchy_index").set_index("subject")["index"]
    assert index[("Experimental", 9, "ours")] == pytest.approx(measured["pooled"])
    assert pd.isna(index[("Alexnet", 1, "ours")])


def test_the_report_holds_it_all(reported):
    text = reported.load("report")
    (folder,) = (reported.data / "08_reporting" / "report.html").iterdir()
    assert f"Report of the run {folder.name}" in text
    assert text.count("data:image/png;base64,") == len(FIGURES)
    for words in (
        "Simulated, not measured",
        "published",
        "no data in 1 of 3 sessions",
        "How to cite",
        "gnet 0.",
    ):
        assert words in text
    assert str(reported.data) not in text
    assert not re.search(r"\bnan\b", text)
    assert "Beside the published numbers” is left out" in text
    assert 'id="beside-the-published-numbers"' not in text
    assert "--pipelines synthetic --params seed=2" in text
    assert "± seeds" not in text
    assert "<dt>device</dt><dd>auto" not in text
    assert "<dt>prefilter</dt><dd>gabor</dd>" in text


def test_the_report_does_not_need_an_anatomy(reported, tmp_path, caplog):
    root = tmp_path / "nsd"
    shutil.copytree(reported.data / "01_raw" / "nsd" / "nsddata", root / "nsddata")
    layout = Layout(root)
    layout.anatomy("subj01").unlink()
    figure = draw_volume_slices(NSDReader(layout), reported.load("masks"), reported.load("maps"), areas=AREAS)
    first, second = figure.axes[0].collections, figure.axes[6].collections
    assert len(first) == len(second) - 1
    [warning] = [record.message for record in caplog.records]
    assert warning == "There is no anatomy. The slices of subj01 are drawn without it."


def test_the_summaries_are_printed_and_where_the_results_lie(reported):
    printed = (reported.data.parent / "printed.txt").read_text()
    for name in ("gnet8j_summary", "gnet8r_summary", "joint_versus_areas", "hierarchy_index"):
        assert f"{name}: " in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("report: ")]
    assert line.endswith("report.html")
    folders = "02_intermediate, 03_primary, 05_model_input, 06_models, 07_model_output, 08_reporting"
    assert f"Stored in {reported.data}: {folders}." in printed
