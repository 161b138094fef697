"""Every mistake in the configuration is named, with what is allowed."""

from pathlib import Path

import pytest
import yaml
from kedro.validation.exceptions import ModelInstantiationError
from omegaconf import OmegaConf
from pydantic import ValidationError

from gnet.pipelines.parameters import (
    Area,
    Areas,
    Fitting,
    Images,
    Masks,
    Model,
    Prefilter,
    Protocols,
    Release,
    Scoring,
    Simulation,
    Split,
)

CONF = Path(__file__).resolve().parents[1] / "conf"
CLASSES = {
    "release": Release, "images": Images, "split": Split, "prefilter": Prefilter, "areas": Areas,
    "masks": Masks, "model": Model, "protocols": Protocols, "fitting": Fitting, "scoring": Scoring,
    "simulation": Simulation,
}  # fmt: skip


def configured(env=None):
    """The parameters as written, base and environment, with the defaults of what is interpolated."""
    OmegaConf.register_new_resolver("globals", lambda name: f"<{name}>", replace=True)
    OmegaConf.register_new_resolver("runtime_params", lambda name, default: default, replace=True)
    files = [*sorted((CONF / "base").glob("parameters*.yml"))]
    files += [CONF / env / "parameters.yml"] if env else []
    try:
        merged = OmegaConf.merge(*(OmegaConf.create(yaml.safe_load(path.read_text())) for path in files))
        return OmegaConf.to_container(merged, resolve=True)
    finally:
        OmegaConf.clear_resolver("globals")
        OmegaConf.clear_resolver("runtime_params")


@pytest.fixture(scope="module")
def base():
    return configured()


@pytest.mark.parametrize("env", [None, "tiny", "nsd"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_configuration_is_valid(env, name):
    CLASSES[name].model_validate(configured(env)[name])


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"areas"}))
def test_unknown_keys_are_refused(base, name):
    with pytest.raises(
        ModelInstantiationError, match=r"^misspelt: expected one of .*, got 'misspelt'\. Choose"
    ):
        CLASSES[name].model_validate({**base[name], "misspelt": 1})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("release", {"betas_format": "mgh"}, "betas_format: expected one of hdf5, nifti, got 'mgh'"),
        ("release", {"sessions": {"S1": 40}}, "String should match pattern .*, got 'S1'"),
        ("release", {"sessions": {"subj01": 0}}, "sessions.subj01: expected greater than .* 1, got 0"),
        ("release", {"subjects": ["subj05"]}, "^unknown subject subj05: expected some of subj01, subj02"),
        ("images", {"pixels": 3}, "greater than or equal to"),
        ("images", {"resampling": "cubic"}, "got 'cubic'. Did you mean bicubic?"),
        ("split", {"test": "last"}, "one of shared, special, got 'last'. Choose one of them."),
        ("split", {"holdout_fraction": 0}, "greater than 0"),
        ("split", {"holdout_fraction": 1}, "less than 1"),
        ("masks", {"tabulated": ["brain"]}, "tabulated.0: expected one of early_visual, visual, nsdgeneral"),
        ("prefilter", {"source": "vgg"}, "one of alexnet, gabor, random"),
        ("prefilter", {"sha256": "none"}, "String should match pattern"),
        ("model", {"readout": "linear"}, "one of layerwise, single_field"),
        ("model", {"dropout": 1.0}, "less than 1"),
        ("fitting", {"protocol": "revisd"}, "one of published, revised, got 'revisd'. Did you mean revised?"),
        ("fitting", {"momentum": 0.5}, "momentum is now called batch_norm_momentum: rename it"),
        ("fitting", {"epoch": 3}, "got 'epoch'. Did you mean epochs?"),
        ("fitting", {"update": "never"}, "one of alternating, simultaneous"),
        ("fitting", {"trunk_learning_rate": 0}, "greater than 0"),
        ("fitting", {"batch_size": 1}, "greater than or equal to 2"),
        ("simulation", {"organisation": "random"}, "one of parallel, hierarchical, even"),
    ],
)  # fmt: skip
def test_values_that_are_not_allowed(base, name, changes, message):
    with pytest.raises(ModelInstantiationError, match=message) as refused:
        CLASSES[name].model_validate({**base[name], **changes})
    assert "pydantic" not in str(refused.value)


@pytest.mark.parametrize("area", ["V 1", "V1/V2", "", "V1.a"])
def test_names_of_areas_make_names_of_files(area):
    with pytest.raises(ModelInstantiationError, match="String should match pattern"):
        Areas.model_validate({area: {"family": "prf-visualrois", "labels": ["V1v"]}})


def test_an_area_has_labels():
    with pytest.raises(ValidationError, match="at least 1 item"):
        Area(family="floc-faces", labels=())


def test_parameters_are_not_changed_after_reading(base):
    release = Release.model_validate(base["release"])
    with pytest.raises(ValidationError, match="Instance is frozen"):
        release.betas_format = "nifti"


def test_sessions_of_the_subjects_that_are_used(base):
    release = Release.model_validate({**base["release"], "subjects": ["subj02"]})
    assert release.used == {"subj02": 14}
    assert Release.model_validate(base["release"]).used == {"subj01": 18, "subj02": 14}


def test_a_protocol_is_a_bundle_and_each_choice_can_be_set_alone(base):
    protocols = Protocols.model_validate(base["protocols"])
    published = Fitting.model_validate(base["fitting"])
    assert published.choices(protocols) == protocols.published
    revised = Fitting.model_validate({**base["fitting"], "protocol": "revised"})
    assert revised.choices(protocols) == protocols.revised
    for name in protocols.published.model_dump():
        other = getattr(protocols.revised, name)
        mixed = Fitting.model_validate({**base["fitting"], name: other}).choices(protocols)
        assert mixed == protocols.published.model_copy(update={name: other})


def test_the_real_release_has_the_published_numbers():
    nsd = configured("nsd")
    sessions = [40, 40, 32, 30, 40, 32, 40, 30]
    assert list(nsd["release"]["sessions"].values()) == sessions
    assert nsd["images"] == {"pixels": 227, "resampling": "bilinear"}
    assert (nsd["model"]["trunk_width"], nsd["model"]["dropout"], nsd["model"]["batch_norm_momentum"]) == (
        64,
        0.5,
        0.25,
    )
    assert nsd["prefilter"]["source"] == "alexnet"
    expected = {
        "protocol": "published", "seed": None, "epochs": None, "batch_size": 100,
        "trunk_learning_rate": 0.001, "readout_learning_rate": 0.001, "l1": 0.1, "precision": "float32",
    }  # fmt: skip
    assert {name: nsd["fitting"][name] for name in expected} == expected
    assert nsd["protocols"]["published"]["epochs"] == 50
    assert (nsd["split"]["test"], nsd["split"]["holdout_fraction"]) == ("shared", 0.1)
    assert nsd["scoring"]["resamples"] == 64
