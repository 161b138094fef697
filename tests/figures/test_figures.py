"""Every figure is drawn of whatever a table may hold: all of it, one subject, one area, NaN, nothing."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from gnet.analysis.comparison import paired_accuracies
from gnet.figures.axes import nothing
from gnet.figures.bipartite_tuning import bipartite_tuning_figure
from gnet.figures.colours import AREAS
from gnet.figures.explained_variance import explained_variance_figure
from gnet.figures.fit_history import fit_history_figure
from gnet.figures.hierarchy_index import hierarchy_index_figure
from gnet.figures.joint_versus_areas import joint_versus_areas_figure
from gnet.figures.layerwise_tuning import layerwise_tuning_figure
from gnet.figures.output_correlation import output_correlation_figure
from gnet.figures.pooling_fields import example_voxels, pooling_fields_figure
from gnet.figures.size_eccentricity import size_eccentricity_figure
from gnet.figures.transfer_matrix import SHIFTS, transfer_matrix_figure
from gnet.figures.volume_slices import SubjectVolumes, volume_slices_figure

SUBJECTS = ("subj01", "subj02")
LAYERS = {"conv3": 70.0, "conv4a": 30.0}
HALVES = {"lower": 60.0, "upper": 40.0}


def voxels(areas, subjects, count=4):
    """A table with everything that the figures read of voxels."""
    rows = [(subject, area, n) for subject in subjects for area in areas for n in range(count)]
    table = pd.DataFrame(rows, columns=["subject", "area", "voxel_index"])
    table["voxel_index"] += 10 * table.groupby(["subject", "area"]).ngroup()
    random = np.random.default_rng(1)
    for name in ("r", "correlation", "eccentricity", "size", "x", "y", "sigma_long", "sigma_short"):
        table[name] = random.uniform(0.1, 0.9, len(table))
    return table.assign(radial_angle=0.3, determined=True, excluded="")


def summary(areas, subjects):
    table = voxels(areas, subjects, 1)
    return table.assign(variance_explained=20.0, ceiling=40.0, fev=50.0)


def shares(areas, subjects):
    rows = [
        (model, partition, area, subject, part, 50.0, 20.0)
        for model in ("gnet8j", "gnet8r")
        for partition, parts in (("layerwise", LAYERS), ("bipartite", HALVES))
        for area in areas
        for subject in (*subjects, "group")
        for part in parts
    ]
    names = ["model", "partition", "area", "subject", "part", "specific", "unique"]
    return pd.DataFrame(rows, columns=names)


def matrix(areas, subjects):
    rows = [
        (subject, trunk, tested, 0.01)
        for subject in (*subjects, "pooled")
        for trunk in areas
        for tested in areas
    ]
    return pd.DataFrame(rows, columns=["subject", "trunk", "tested", "shift"])


def index(areas, subjects):
    table = pd.DataFrame({"subject": [*subjects, "pooled"]})
    return table.assign(index=0.2, fit_error=0.1, voxel_sd=0.2)


def history(areas, subjects):
    rows = [("area-wise", area, epoch, 5.0, 0.1 * epoch, epoch == 2) for area in areas for epoch in (1, 2)]
    return pd.DataFrame(rows, columns=["kind", "area", "epoch", "loss", "holdout_median_r", "best"])


def fields(areas, subjects):
    accuracy = voxels(areas, subjects)
    examples = example_voxels(accuracy.drop(columns="r"), accuracy)
    return np.random.default_rng(1).random((len(examples), 5, 5)), np.linspace(-3, 3, 5), examples


def lines(areas, subjects):
    table = voxels(areas, subjects, 1)
    return table.assign(model="gnet8j", slope=0.2, size_at_centre=1.0)


def volumes(areas, subjects):
    shape = (4, 5, 3)
    accuracy = np.full(shape, np.nan)
    accuracy[1, 1, 1] = 0.5
    masks = {area: np.arange(60).reshape(shape) == number for number, area in enumerate(areas)}
    return {
        subject: SubjectVolumes(np.ones(shape), masks, accuracy, np.diag([-1.8, 1.8, 1.8, 1]))
        for subject in subjects
    }


DRAWN = {
    "joint_versus_areas": lambda a, s: joint_versus_areas_figure(voxels(a, s), voxels(a, s), a),
    "explained_variance": lambda a, s: explained_variance_figure(summary(a, s), summary(a, s), a),
    "output_correlation": lambda a, s: output_correlation_figure(voxels(a, s), a),
    "fit_history": lambda a, s: fit_history_figure(history(a, s), a),
    "pooling_fields": lambda a, s: pooling_fields_figure(*fields(a, s), a),
    "size_eccentricity": lambda a, s: size_eccentricity_figure(
        lines(a, s), a, gnet8j=voxels(a, s), gnet8r=voxels(a, s)
    ),
    "layerwise_tuning": lambda a, s: layerwise_tuning_figure(shares(a, s), LAYERS, a),
    "bipartite_tuning": lambda a, s: bipartite_tuning_figure(shares(a, s), HALVES, a),
    "transfer_matrix": lambda a, s: transfer_matrix_figure(a, measured=matrix(a, s)),
    "hierarchy_index": lambda a, s: hierarchy_index_figure({"measured": index(a, s)}),
    "volume_slices": lambda a, s: volume_slices_figure(volumes(a, s), a),
}


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return np.asarray(Image.open(file).convert("L"))


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(
    ("areas", "subjects"),
    [
        (("V1", "V2", "hV4"), SUBJECTS),
        (("V1", "V2"), ("subj03",)),
        (("FFA",), tuple(f"subj{number:02d}" for number in range(1, 9))),
    ],
    ids=["all", "one subject", "one area"],
)
def test_every_figure_is_drawn(name, areas, subjects):
    figure = DRAWN[name](areas, subjects)
    assert isinstance(figure, Figure)
    assert figure.canvas.manager is None  # belongs to no window
    assert drawn(figure).std() > 0
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("name", ["joint_versus_areas", "output_correlation", "size_eccentricity"])
def test_areas_keep_their_colours(name):
    figure = DRAWN[name](("V2", "hV4"), SUBJECTS)
    titles = {axes.get_title("left"): to_hex(axes._left_title.get_color()) for axes in figure.axes}
    assert titles["hV4"].upper() == AREAS["hV4"].upper()
    assert titles["V2"].upper() == AREAS["V2"].upper()


@pytest.mark.filterwarnings("error")
def test_nan_is_left_out_and_not_drawn_as_zero():
    areas, known = ("V1", "V2"), voxels(("V1", "V2"), SUBJECTS)
    lacking = known.assign(
        r=known["r"].where(known["area"] == "V1"),
        correlation=np.nan,
        determined=known["area"] == "V1",
    )
    figures = [
        joint_versus_areas_figure(lacking, known, areas),
        output_correlation_figure(lacking, areas),
        explained_variance_figure(
            summary(areas, SUBJECTS).assign(fev=np.nan, ceiling=np.nan), summary(areas, SUBJECTS), areas
        ),
        size_eccentricity_figure(lines(areas, SUBJECTS).assign(slope=np.nan), areas, gnet8j=lacking),
        layerwise_tuning_figure(shares(areas, SUBJECTS).assign(unique=np.nan), LAYERS, areas),
        bipartite_tuning_figure(shares(areas, SUBJECTS).assign(unique=np.nan), HALVES, areas),
        transfer_matrix_figure(areas, measured=matrix(areas, SUBJECTS).assign(shift=np.nan)),
        hierarchy_index_figure({"measured": index(areas, SUBJECTS).assign(index=np.nan, fit_error=np.nan)}),
        fit_history_figure(history(areas, SUBJECTS).assign(holdout_median_r=np.nan), areas),
    ]
    for figure in figures:
        drawn(figure)
    assert len(figures[0].axes[1].collections) == 0  # V2 has no accuracy in one of the models
    assert len(paired_accuracies(lacking, known)) == len(known) / 2


def test_nothing_to_draw_is_said():
    empty = voxels(("V1",), SUBJECTS).assign(r=np.nan, determined=False, correlation=np.nan)
    assert "no voxel has an accuracy" in text(joint_versus_areas_figure(empty, empty, ("V1",)))
    assert "no voxel has predictions" in text(output_correlation_figure(empty, ("V1",)))
    examples = example_voxels(empty.drop(columns="r"), empty)
    figure = pooling_fields_figure(np.empty((0, 5, 5)), np.linspace(-3, 3, 5), examples, ("V1",))
    assert "no pooling field" in text(figure)
    assert text(nothing("why")) == "why"


def text(figure):
    return " ".join(item.get_text() for item in figure.texts)


def test_joint_versus_areas_shows_the_share_better():
    first = voxels(("V1",), ("subj01",))
    second = first.assign(r=first["r"] - [0.01, 0.02, -0.03, 0.01])
    above, below = joint_versus_areas_figure(first, second, ("V1",)).axes
    assert above.texts[0].get_text() == "joint better: 75 %\nof 4 voxels"
    assert below.texts[0].get_text() == "mean\n+0.0025"


def test_no_ceiling_is_cut_off():
    high = summary(("V1", "V2"), SUBJECTS)
    high.loc[high["area"] == "V2", "ceiling"] = 83.0
    figure = explained_variance_figure(high, high, ("V1", "V2"))
    assert all(axes.get_ylim()[1] > 83 for axes in figure.axes[:2])


def test_examples_are_determined_and_best_first():
    table = voxels(("V1", "V2"), ("subj01",), 9)
    table.loc[table["r"].idxmax(), "determined"] = False
    examples = example_voxels(table.drop(columns="r"), table, count=3)
    assert examples.groupby("area").size().to_dict() == {"V1": 3, "V2": 3}
    assert examples["determined"].all()
    for area, chosen in examples.groupby("area"):
        best = table[(table["area"] == area) & table["determined"]]["r"].nlargest(3)
        np.testing.assert_array_equal(chosen["r"], best)


def test_a_field_s_row_0_is_the_top_of_the_image():
    field, positions, examples = np.zeros((1, 5, 5)), np.linspace(-3, 3, 5), fields(("V1",), ("subj01",))[2]
    field[0, 0, 4] = 1  # top right
    axes = pooling_fields_figure(field, positions, examples.head(1), ("V1",)).axes[0]
    picture = axes.images[0]
    left, right, bottom, top = picture.get_extent()
    assert (left, right, bottom, top) == (-3.75, 3.75, -3.75, 3.75)
    assert picture.origin == "upper"
    assert picture.get_array()[0, 4] == 1


def test_shifts_are_white_at_zero_and_even_on_both_sides():
    colours = colormaps[SHIFTS](np.linspace(0, 1, 101))[:, :3]
    assert colours[50].min() > 0.95
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light[:50]) > 0).all()
    assert (np.diff(light[51:]) < 0).all()


def test_an_index_without_a_meaning_says_its_error():
    figure = hierarchy_index_figure({"measured": index((), SUBJECTS).assign(fit_error=[0.1, 3.0, 0.1])})
    assert [item.get_text() for item in figure.axes[0].texts] == ["±3.0"]


def test_the_spread_over_seeds_is_drawn_where_there_are_several():
    index_found = index((), SUBJECTS)
    seeds = index_found.assign(index=0.4, seed_sd=[0.1, 0.2, 0.3], seeds=[1, 3, 3])
    figure = hierarchy_index_figure({"measured": index_found}, {"measured": seeds})
    (means,) = [line for bars in figure.axes[0].containers if (line := bars.lines[0])]
    np.testing.assert_allclose(np.asarray(means.get_ydata(), float), [np.nan, 0.4, 0.4])
    assert "mean ± seeds" in [entry.get_text() for entry in figure.legends[0].get_texts()]
    alone = hierarchy_index_figure({"measured": index_found}, {"measured": seeds.assign(seeds=1)})
    assert len(alone.axes[0].containers) == len(figure.axes[0].containers) - 1
    assert "mean ± seeds" not in [entry.get_text() for entry in alone.legends[0].get_texts()]


def test_slices_are_drawn_without_an_anatomy():
    """It is optional in the release, and the report comes after days of fits."""
    with_anatomy = volumes(("V1",), SUBJECTS)
    without = {subject: replace(one, anatomy=None) for subject, one in with_anatomy.items()}
    with_anatomy, without = (volume_slices_figure(of, ("V1",)) for of in (with_anatomy, without))
    for drawn_over, alone in zip(with_anatomy.axes[:12], without.axes[:12], strict=True):
        assert len(alone.collections) == len(drawn_over.collections) - 1
        assert alone.get_title() == drawn_over.get_title()
        assert alone.get_xlim() == drawn_over.get_xlim()
    assert drawn(without).std() > 0


def test_a_planted_organisation_is_said():
    found = {"measured": index((), SUBJECTS)}
    titles = [hierarchy_index_figure(found, planted=name).axes[0].get_title() for name in ("", "parallel")]
    assert titles == ["", "planted organisation: parallel"]


def test_every_matrix_says_which_side_is_which():
    figure = transfer_matrix_figure(
        ("V1", "V2"), **dict.fromkeys(("measured", "synthetic"), matrix(("V1", "V2"), SUBJECTS))
    )
    matrices = [axes for axes in figure.axes if axes.images]
    assert [axes.get_xlabel() for axes in matrices] == 6 * ["voxels of"]


def test_slices_are_in_millimetres():
    figure = volume_slices_figure(volumes(("V1",), ("subj01",)), ("V1",))
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles[0] == "sagittal, x = 0 mm"
    assert figure.axes[1].get_xlabel() == "x (mm)"
    assert figure.axes[2].get_ylabel() == "y (mm)"
    assert figure.axes[3].get_title("left").strip() == "accuracy of the joint model"
