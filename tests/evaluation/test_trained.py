"""A fitted model in the hands of someone with images: the numbers, and a clear word for every mistake."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gnet
from gnet.errors import ModelFileError, ParameterError
from gnet.evaluation.trained import TrainedModel, load_model
from gnet.models.checkpoints import FittedModel, Voxels, save_models
from gnet.models.gnet import Architecture, GNet
from gnet.recording.pictures import resize

PIXELS = 47
AREAS = {"subj01": np.array(["V1", "V2", "V1", ""]), "subj02": np.array(["V2", "V2"])}
INDEX = {"subj01": np.array([30, 10, 20, 25]), "subj02": np.array([5, 50])}


def make_model(index=INDEX, seed=0, area=AREAS, areas=("V1", "V2"), configuration=(), **form):
    torch.manual_seed(seed)
    network = GNet(
        Architecture(PIXELS, trunk_width=4, **form),
        {subject: len(voxels) for subject, voxels in index.items()},
        input_mean=np.array([0.4, 0.5, 0.6]),
    )
    with torch.no_grad():
        for readout in network.readouts.values():
            for field in readout.fields:
                field.add_(torch.rand_like(field))
            readout.weight.mul_(30)
    voxels = {s: Voxels(found, area.get(s), (6, 5, 4)) for s, found in index.items()}
    return FittedModel(network.eval(), voxels, areas, dict(configuration))


@pytest.fixture
def fitted():
    return make_model()


@pytest.fixture
def model(fitted):
    return TrainedModel([fitted])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, PIXELS, PIXELS, 3), dtype=np.uint8)


@torch.no_grad()
def reference(fitted, images, subject):
    return fitted.network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), subject).numpy()


# predictions


def test_predictions_are_the_networks(model, fitted, images):
    for subject in INDEX:
        responses, voxels = model.predict(images, subject)
        np.testing.assert_array_equal(responses, reference(fitted, images, subject))
        assert voxels["voxel_index"].tolist() == INDEX[subject].tolist()
        assert voxels["area"].tolist() == AREAS[subject].tolist()
        assert set(voxels["subject"]) == {subject}


def test_voxels_have_places(model):
    table = model.voxels("subj01")
    assert (table["x"] * 20 + table["y"] * 4 + table["z"]).tolist() == table["voxel_index"].tolist()


def test_one_area(model, images):
    whole = model.predict(images, "subj01").responses
    responses, voxels = model.predict(images, "subj01", area="V1")
    np.testing.assert_array_equal(responses, whole[:, [0, 2]])
    assert voxels["voxel_index"].tolist() == [30, 20]
    assert voxels.index.tolist() == [0, 1]


@pytest.mark.parametrize("colour_first", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "float64", "float32", "read-only"])
def test_layouts_and_types_of_the_same_images(model, images, kind, colour_first):
    expected = model.predict(images, "subj01").responses
    given = images / 255 if kind.startswith("float") else images.copy()
    given = given.transpose(0, 3, 1, 2).copy() if colour_first else given
    given = given.astype(np.float32) if kind == "float32" else given
    given.flags.writeable = kind != "read-only"
    np.testing.assert_allclose(model.predict(given, "subj01").responses, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [30, 47, 80])
@pytest.mark.parametrize("resampling", ["bilinear", "lanczos"])
def test_other_sizes_are_resized_as_the_model_was_trained(side, resampling):
    fitted = make_model(configuration={"resampling": resampling})
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    expected = reference(fitted, resize(images, PIXELS, resampling).transpose(0, 2, 3, 1), "subj01")
    model = TrainedModel([fitted])
    np.testing.assert_array_equal(model.predict(images, "subj01").responses, expected)
    unrounded = model.predict((images / 255).astype(np.float32), "subj01").responses
    np.testing.assert_allclose(
        unrounded, expected, atol=(0.02 if resampling == "bilinear" else 0.1) * expected.std()
    )


def test_many_images_go_in_blocks(model, images):
    many = np.tile(images, (71, 1, 1, 1))
    responses = model.predict(many, "subj02").responses
    np.testing.assert_allclose(
        responses, np.tile(model.predict(images, "subj02").responses, (71, 1)), rtol=1e-5
    )


# contributions, fields, gradients


@pytest.mark.parametrize(
    "form", [{}, {"readout": "single_field"}, {"prefilter_readout": True}, {"pass_through": 12}]
)
@pytest.mark.parametrize("partition", ["layerwise", "bipartite"])
def test_contributions_and_bias_sum_to_the_prediction(images, form, partition):
    model = TrainedModel([make_model(**form)])
    parts, bias, voxels = model.contributions(images, "subj01", partition, area="V1")
    responses, same = model.predict(images, "subj01", area="V1")
    np.testing.assert_allclose(sum(parts.values()) + bias, responses, rtol=1e-4, atol=1e-5)
    assert voxels.equals(same)
    first = ["conv1", "conv2"] if form.get("prefilter_readout") else []
    layers = [*first, "conv3", "conv4a", "conv4b", "conv5a", "conv5b", "conv6a", "conv6b"]
    assert list(parts) == (layers if partition == "layerwise" else ["lower", "upper"])


def test_contributions_of_ones_own_parts(model, images):
    masks = {"first": np.arange(152) < 3, "none": np.zeros(152, bool)}
    parts, _, _ = model.contributions(images, "subj01", masks)
    assert (parts["none"] == 0).all()
    assert (parts["first"] != 0).all()


def test_pooling_fields(fitted):
    fields, voxels = TrainedModel([fitted]).pooling_fields("subj01", area="V1")
    assert {name: field.shape for name, field in fields.items()} == {"fine": (2, 3, 3), "coarse": (2, 2, 2)}
    assert voxels["voxel_index"].tolist() == [30, 20]
    for field, expected in zip(
        fields.values(), fitted.network.readouts["subj01"].pooling_fields(), strict=True
    ):
        np.testing.assert_allclose(field.sum((1, 2)), 1, rtol=1e-6)
        np.testing.assert_array_equal(field, expected[[0, 2]].numpy())
    names = TrainedModel([make_model(prefilter_readout=True)]).pooling_fields("subj02").fields
    assert {name: field.shape[1] for name, field in names.items()} == {"prefilter": 5, "fine": 3, "coarse": 2}


def test_gradient_is_the_finite_difference(images):
    network = make_model().network.double()
    image = torch.from_numpy(images[0] / 255).permute(2, 0, 1)
    gradient = TrainedModel([make_model()]).gradient(images[0], "subj01", voxel=20)
    assert gradient.shape == (3, PIXELS, PIXELS)

    @torch.no_grad()
    def response(picture):
        centred = picture[None] - network.input_mean[:, None, None]
        return network.readout("subj01")(network.trunk(network.prefilter(centred)))[0, 2].item()

    for place in [(0, 20, 20), (1, 23, 10), (2, 30, 33)]:
        step = torch.zeros_like(image, dtype=torch.float64)
        step[place] = 1e-5
        slope = (response(image + step) - response(image - step)) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-2, abs=1e-3 * float(np.abs(gradient).max()))


def test_gradient_of_another_size_and_layout(model, images):
    small = images[0, :40, :40]
    resized = resize(small[None], PIXELS)[0]
    expected = model.gradient(resized, "subj01", 10)
    np.testing.assert_array_equal(model.gradient(small, "subj01", 10), expected)
    np.testing.assert_array_equal(model.gradient(small.transpose(2, 0, 1), "subj01", np.int64(10)), expected)


# several networks side by side


@pytest.fixture
def area_wise():
    one = make_model({"subj01": np.array([30, 20])}, area={}, areas=("V1",))
    other = make_model({"subj01": np.array([10]), "subj02": np.array([5])}, seed=1, area={}, areas=("V2",))
    return [one, other]


def test_networks_of_several_areas_side_by_side(area_wise, images):
    model = TrainedModel(area_wise)
    responses, voxels = model.predict(images, "subj01")
    for column, (part, row) in enumerate([(0, 0), (0, 1), (1, 0)]):
        np.testing.assert_array_equal(
            responses[:, column], reference(area_wise[part], images, "subj01")[:, row]
        )
    assert voxels["area"].tolist() == ["V1", "V1", "V2"]
    assert model.predict(images, "subj01", "V2").responses.shape == (3, 1)
    assert model.predict(images, "subj02").voxels["voxel_index"].tolist() == [5]
    parts, bias, _ = model.contributions(images, "subj01", "bipartite")
    np.testing.assert_allclose(parts["lower"] + parts["upper"] + bias, responses, rtol=1e-4, atol=1e-5)
    assert model.pooling_fields("subj01").fields["fine"].shape == (3, 3, 3)
    np.testing.assert_array_equal(
        model.gradient(images[0], "subj01", 10), TrainedModel(area_wise[1:]).gradient(images[0], "subj01", 10)
    )
    assert repr(model) == "TrainedModel(areas: V1, V2; voxels: subj01 3, subj02 1)"


def test_networks_with_a_voxel_in_common(area_wise):
    with pytest.raises(
        ModelFileError, match=r"subj01: expected every voxel in one model, found 2 in two, such as 30\. Load"
    ):
        TrainedModel([area_wise[0], area_wise[0]])


# files


def test_load_model(tmp_path, fitted, images):
    save_models([fitted], tmp_path / "gnet8j.h5" / "2026-01-02T00.00.00.000Z" / "gnet8j.h5")
    model = gnet.load_model(tmp_path / "gnet8j.h5", device="cpu")
    np.testing.assert_array_equal(
        model.predict(images, "subj01").responses, reference(fitted, images, "subj01")
    )
    assert (model.subjects, model.areas) == (["subj01", "subj02"], ["V1", "V2"])
    assert gnet.load_model is load_model
    assert "load_model" in dir(gnet)
    with pytest.raises(ModelFileError, match="expected a model file"):
        load_model(tmp_path / "gnet8r.h5")


def test_importing_gnet_imports_nothing_slow_and_using_it_no_kedro(tmp_path, fitted):
    save_models([fitted], tmp_path / "model.h5")
    script = """
import sys
import gnet
assert not {"torch", "numpy", "kedro"} & set(sys.modules)
assert "load_model" in dir(gnet)
gnet.load_model(sys.argv[1], device="cpu")
assert "kedro" not in sys.modules and "pydantic" not in sys.modules
try:
    gnet.lode_model
except AttributeError as error:
    assert "lode_model" in str(error)
"""
    subprocess.run([sys.executable, "-c", script, tmp_path / "model.h5"], check=True)


# mistakes


def bad(images, change):
    return {
        "grey": images[..., 0],
        "alpha": np.concatenate([images, images[..., :1]], axis=-1),
        "one": images[0],
        "none": images[:0],
        "oblong": images[:, :30],
        "whole numbers": images.astype(np.int64),
        "boolean": images > 100,
        "0 to 255": images.astype(np.float32),
        "centred": images / 255 - 0.5,
        "NaN": np.where(np.arange(3)[:, None, None, None] == 1, np.nan, images / 255),
        "text": np.array("picture.png"),
    }[change]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("grey", r"expected \(image, y, x, 3\) or \(image, 3, y, x\), got shape \(3, 47, 47\)"),
        ("alpha", r"got shape \(3, 47, 47, 4\)"),
        ("one", r"got shape \(47, 47, 3\)\. For a single image, pass images\[None\]\."),
        ("none", "expected at least one image, got none"),
        ("oblong", r"expected square images, got 30 x 47 pixels\. Crop or pad"),
        ("whole numbers", r"expected uint8, or floats in \[0, 1\], got int64"),
        ("boolean", "got bool"),
        ("0 to 255", r"expected floats in \[0, 1\], got 0 to 255\. Divide by 255"),
        ("centred", r"expected floats in \[0, 1\], got -0\.5 to 0\.5"),
        ("NaN", "expected values without NaN, got NaN in 1 images, first in image 1"),
        ("text", r"got shape \(\)"),
    ],
)
def test_bad_images(model, images, change, message):
    for method in (model.predict, model.contributions):
        with pytest.raises(ParameterError, match=f"images: .*{message}"):
            method(bad(images, change), "subj01")


def test_bad_image_for_a_gradient(model, images):
    with pytest.raises(ParameterError, match=r"expected one image, .* got shape \(3, 47, 47, 3\)"):
        model.gradient(images, "subj01", 10)
    with pytest.raises(ParameterError, match="expected square images, got 30 x 47"):
        model.gradient(images[0, :30], "subj01", 10)


def test_what_the_model_does_not_have(model, images):
    unknown = r"subject: this model has voxels of subj01, subj02, got 'subj08'"
    for call in (
        lambda: model.predict(images, "subj08"),
        lambda: model.contributions(images, "subj08"),
        lambda: model.pooling_fields("subj08"),
        lambda: model.voxels("subj08"),
        lambda: model.gradient(images[0], "subj08", 10),
    ):
        with pytest.raises(ParameterError, match=unknown):
            call()
    with pytest.raises(ParameterError, match="area: this model has voxels of subj01 in V1, V2, got 'V3'"):
        model.predict(images, "subj01", area="V3")
    with pytest.raises(ParameterError, match="area: this model has voxels of subj02 in V2, got 'V1'"):
        model.pooling_fields("subj02", area="V1")
    with pytest.raises(ParameterError, match="area: this model has voxels of subj01 in V1, V2, got ''"):
        model.predict(images, "subj01", area="")
    with pytest.raises(
        ParameterError,
        match=r"voxel: this model has 4 voxels of subj01, none .* voxel_index 5\. See model\.voxels",
    ):
        model.gradient(images[0], "subj01", 5)
    with pytest.raises(
        ParameterError, match=r"partition: expected layerwise, bipartite or .*, got 'pairwise'"
    ):
        model.contributions(images, "subj01", "pairwise")
    with pytest.raises(
        ParameterError, match=r"arrays over 152 features, got bool of shape \(99,\) for 'mine'"
    ):
        model.contributions(images, "subj01", {"mine": np.ones(99, bool)})
    with pytest.raises(ParameterError, match=r"got int64 of shape \(152,\)"):
        model.contributions(images, "subj01", {"mine": np.ones(152, int)})
    with pytest.raises(ParameterError, match="expected at least one part, got none"):
        model.contributions(images, "subj01", {})


def test_a_model_that_does_not_know_the_areas_of_its_voxels(images):
    model = TrainedModel([make_model(area={})])
    with pytest.raises(ParameterError, match="area: the areas of this model's voxels are unknown, got 'V1'"):
        model.predict(images, "subj01", area="V1")


# the example


EXAMPLE = """\
import gnet, numpy, PIL.Image

model = gnet.load_model("data/06_models/gnet8j.h5")  # the newest version of the joint model
picture = numpy.asarray(PIL.Image.open("picture.png").convert("RGB"))  # any square picture
responses, voxels = model.predict(picture[None], "subj01", area="V1")
print(voxels.assign(response=responses[0]).nlargest(5, "response"))
"""


def test_the_example_in_the_readme(tmp_path, monkeypatch, capsys, fitted):
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    shown = [
        block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "load_model" in block
    ]
    monkeypatch.chdir(tmp_path)
    save_models([fitted], Path("data/06_models/gnet8j.h5/2026-01-02T00.00.00.000Z/gnet8j.h5"))
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save("picture.png")
    for example in shown or [EXAMPLE]:
        exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["subject", "voxel_index", "x", "y", "z", "area", "response"]
    assert {line.split()[2] for line in lines[1:3]} == {"30", "20"}
