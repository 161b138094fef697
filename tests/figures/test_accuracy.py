"""Variance explained against the noise ceiling: what is drawn, what is not and is said so."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from gnet.figures.accuracy import accuracy_figure
from gnet.figures.colours import AREAS, PALETTE, area_colours


def table(areas=("V1", "V2"), subjects=("subj01", "subj02"), voxels=5):
    rng = np.random.default_rng(0)
    rows = [(subject, area) for area in areas for subject in subjects for _ in range(voxels)]
    accuracy = pd.DataFrame(rows, columns=["subject", "area"])
    accuracy["r"] = rng.uniform(0.1, 0.6, len(accuracy))
    accuracy["variance_explained"] = 100 * accuracy["r"] ** 2
    accuracy["ceiling"] = rng.uniform(20, 60, len(accuracy))
    return accuracy.assign(fev=lambda t: 100 * t["variance_explained"] / t["ceiling"])


def figure_of(accuracy):
    return accuracy_figure(accuracy, list(dict.fromkeys(accuracy["area"])))


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}


def points(axes):
    return np.concatenate([drawn.get_offsets() for drawn in axes.collections])


def test_every_voxel_lies_at_its_ceiling_and_explained_variance():
    accuracy = table()
    drawn = panels(figure_of(accuracy))
    assert list(drawn) == ["V1", "V2"]
    for area, voxels in accuracy.groupby("area"):
        np.testing.assert_allclose(points(drawn[area]), voxels[["ceiling", "variance_explained"]])


def test_areas_are_drawn_in_the_configured_order():
    accuracy = table(areas=("V1", "FFA", "hV4"))
    assert list(panels(accuracy_figure(accuracy, ("hV4", "V1", "FFA")))) == ["hV4", "V1", "FFA"]


def test_nothing_to_draw_is_said():
    figure = figure_of(table().assign(ceiling=np.nan))
    assert [text.get_text() for text in figure.texts] == ["no voxel has an accuracy and a noise ceiling"]


def test_voxels_that_cannot_be_drawn_are_counted():
    accuracy = table(areas=("V1",))
    accuracy.loc[[0, 7], ["r", "variance_explained", "fev"]] = np.nan
    axes = panels(figure_of(accuracy))["V1"]
    assert len(points(axes)) == 8
    assert "8 voxels, 2 not drawn" in [text.get_text().split("\n")[0] for text in axes.texts]
    assert f"FEV {accuracy['fev'].mean():.0f} %" in "".join(text.get_text() for text in axes.texts)


def test_negative_correlations_are_hollow_and_in_the_legend():
    accuracy = table(areas=("V1",), subjects=("subj01",))
    plain = figure_of(accuracy)
    accuracy.loc[2, "r"] *= -1
    marked = figure_of(accuracy)
    faces = panels(marked)["V1"].collections[0].get_facecolors()
    assert [bool(alpha) for alpha in faces[:, 3]] == [True, True, False, True, True]
    assert "r < 0" in [text.get_text() for text in marked.legends[0].get_texts()]
    assert "r < 0" not in [text.get_text() for text in plain.legends[0].get_texts()]


def test_an_area_keeps_its_colour_and_a_subject_its_marker_whatever_else_is_drawn():
    def drawn(accuracy):
        first = panels(figure_of(accuracy))["hV4"].collections[-1]
        return first.get_facecolors()[0].tolist(), first.get_paths()[0].vertices.tolist()

    alone = drawn(table(areas=("hV4",), subjects=("subj02",)))
    assert alone == drawn(table(areas=("V1", "FFA", "hV4"), subjects=("subj01", "subj02")))
    assert alone[0][:3] == list(to_rgba(AREAS["hV4"])[:3])


def test_further_areas_get_the_colours_that_are_left():
    colours = area_colours(["V1", "FFA", "OFA", "V2"])
    assert len(set(colours.values())) == 4
    assert set(colours.values()) < set(PALETTE)


@pytest.mark.parametrize("areas", [("V1",), ("V1", "V2", "V3", "hV4", "FFA")])
def test_axes_are_square_have_units_and_reach_every_voxel(areas):
    accuracy = table(areas=areas)
    accuracy.loc[0, "ceiling"] = 97.0
    figure = figure_of(accuracy)
    assert figure.get_supxlabel().endswith("(%)")
    assert figure.get_supylabel().endswith("(%)")
    assert len(panels(figure)) == len(areas)
    for axes in panels(figure).values():
        assert axes.get_xlim() == axes.get_ylim() == (0, 100)


def test_pyplot_knows_nothing_of_it():
    from matplotlib import pyplot

    figure_of(table())
    assert pyplot.get_fignums() == []
