"""Our numbers beside the published ones: nothing missing becomes zero."""

import pandas as pd
import pytest

from gnet.analysis.published_comparison import (
    accuracy_layout,
    beside_published,
    fev_layout,
    hierarchy_index_layout,
)
from gnet.paper import published_accuracy, published_fev, published_hierarchy_index


def summary(variance_explained, subjects=("subj02", "subj01")):
    rows = [(subject, area) for area in ("V1", "FFA") for subject in subjects]
    table = pd.DataFrame(rows, columns=["subject", "area"])
    return table.assign(variance_explained=variance_explained, ceiling=30.0, fev=60.0)


@pytest.fixture
def compared():
    ours = accuracy_layout(summary(21.0), summary(19.0))
    return beside_published(published_accuracy(), ours, ["subj", "ROI"])


def cell(table, column, source, **keys):
    for key, value in keys.items():
        table = table[table[key] == value]
    (value,) = table.loc[table["source"] == source, column]
    return value


def test_the_layout_is_that_of_the_paper(compared):
    published = published_accuracy()
    assert compared.columns.tolist() == ["subj", "ROI", "source", *published.columns[2:]]
    blocks = compared[compared["source"] == "published"].reset_index(drop=True)
    pd.testing.assert_frame_equal(blocks.iloc[:32].drop(columns="source"), published)
    assert compared["source"].tolist() == ["published", "ours", "difference"] * (32 + 2)


def test_subjects_are_matched_by_number(compared):
    first = {"subj": 1, "ROI": "V1"}
    published = cell(compared, "GNet8j-fpf", "published", **first)
    assert published == pytest.approx(19.449858)
    assert cell(compared, "GNet8j-fpf", "ours", **first) == 21.0
    assert cell(compared, "GNet8j-fpf", "difference", **first) == pytest.approx(21.0 - published)
    assert cell(compared, "noise ceiling", "ours", **first) == 30.0


def test_what_is_absent_is_nan(compared):
    ours = compared[compared["source"] != "published"]
    assert ours[ours["subj"] > 2].iloc[:, 3:].isna().all(axis=None)
    assert ours[ours["ROI"] == "hV4"].iloc[:, 3:].isna().all(axis=None)
    assert ours[["Gabor-fwrf", "Alexnet-fwrf", "GNet8jft-fpf"]].isna().all(axis=None)
    face = compared[(compared["ROI"] == "FFA") & (compared["source"] == "published")]
    assert face["subj"].tolist() == [1, 2]
    assert face.iloc[:, 3:].isna().all(axis=None)


def test_fev_of_other_models_stands_beside():
    table = beside_published(published_fev(), fev_layout(summary(1.0), summary(1.0)), ["subj", "ROI"])
    first = {"subj": 1, "ROI": "V1"}
    assert cell(table, "GNet8jft-fpf", "published", **first) == pytest.approx(82.666832)
    assert cell(table, "GNet8j-fpf", "ours", **first) == 60.0
    assert table.loc[table["source"] == "difference"].iloc[:, 3:].isna().all(axis=None)


def test_hierarchy_index():
    ours = pd.DataFrame({"subject": ["subj03", "pooled"], "index": [0.5, 0.25], "fit_error": [0.1, 0.2]})
    layout = hierarchy_index_layout(Experimental=ours)
    table = beside_published(published_hierarchy_index(), layout, ["set", "subj"])
    pooled = {"set": "Experimental", "subj": 9}
    assert cell(table, "mean", "ours", **pooled) == 0.25
    assert cell(table, "mean", "difference", **pooled) == pytest.approx(0.25 + 0.01)
    assert cell(table, "std", "ours", set="Experimental", subj=3) == 0.1
    assert table.loc[(table["set"] == "GNet8j") & (table["source"] == "ours"), "mean"].isna().all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("other", ["CN1", "subj09"])  # 9 is the paper's number of all subjects together
def test_subjects_that_the_paper_does_not_have_are_left_out(other):
    ours = summary(1.0, ("subj02", other))
    assert set(accuracy_layout(ours, ours)["subj"]) == {2}
    index = pd.DataFrame({"subject": [other, "pooled"], "index": 0.5, "fit_error": 0.1})
    assert hierarchy_index_layout(Experimental=index)["subj"].tolist() == [9]
    alone = summary(1.0, (other,))
    compared = beside_published(published_fev(), fev_layout(alone, alone), ["subj", "ROI"])
    assert compared["subj"].dtype == published_fev()["subj"].dtype
    assert set(compared["subj"]) == set(range(1, 9))
