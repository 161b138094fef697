"""The parameters and their allowed values: one class per top-level key of `conf/*/parameters*.yml`.

Kedro validates them before any node runs and reports all errors at once. The configuration gives the meaning,
unit and source of each number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from kedro.validation.exceptions import ModelInstantiationError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    ValidationError,
    create_model,
    model_validator,
)

from gnet.errors import expected_one_of

Subject = Annotated[str, Field(pattern=r"^subj\d\d$")]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
RENAMED = {
    "momentum": "batch_norm_momentum",
    "trunk_rate": "trunk_learning_rate",
    "readout_rate": "readout_learning_rate",
    "sparsity": "l1",
}
"""Former names of parameters, and the current ones."""


class Checked(BaseModel):
    """Says what is wrong as all errors do: expected, got, and perhaps what was meant."""

    @classmethod
    def model_validate(cls, values: Any, **options: Any) -> Checked:
        """Read the values, as Kedro asks for it. Raises ModelInstantiationError with all mistakes."""
        try:
            return super().model_validate(values, **options)
        except ValidationError as error:
            raise ModelInstantiationError("; ".join(map(mistake, error.errors()))) from error


class Strict(Checked):
    """Refuses unknown keys and changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def known_names(cls, values: Any) -> Any:
        """Refuse former names, with the current ones, and names that never were."""
        for name in values.keys() - cls.model_fields if isinstance(values, Mapping) else ():
            if name in RENAMED:
                raise ValueError(f"{name} is now called {RENAMED[name]}: rename it")
            raise ValueError(f"{name}: {expected_one_of(cls.model_fields, name)}")
        return values


def mistake(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors, as a message of ours."""
    name, got = ".".join(map(str, error["loc"])), error["input"]
    if error["type"] == "value_error":
        text = str(error["ctx"]["error"])
    elif error["type"] == "literal_error":
        text = expected_one_of(re.findall("'(.*?)'", error["ctx"]["expected"]), got)
    else:
        text = f"{error['msg'].replace('Input should be', 'expected')}, got {got!r}"
    return f"{name}: {text}" if name else text


class Release(Strict):
    """Contents of the release, and the part of it that is used."""

    sessions: dict[Subject, Count]
    subjects: tuple[Subject, ...] | None = None
    betas_format: Literal["hdf5", "nifti"] = "hdf5"

    @model_validator(mode="after")
    def known_subjects(self) -> Release:
        """Check that every subject in use has a number of sessions."""
        if unknown := [subject for subject in self.subjects or () if subject not in self.sessions]:
            expected = f"expected some of {', '.join(self.sessions)} (those under release.sessions)"
            raise ValueError(f"unknown subject {', '.join(unknown)}: {expected}")
        return self

    @property
    def used(self) -> dict[str, int]:
        """Number of sessions of each subject in use."""
        return {subject: self.sessions[subject] for subject in self.subjects or self.sessions}


class Images(Strict):
    """Preparation of the images."""

    pixels: Annotated[int, Field(ge=31)]
    resampling: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


class Split(Strict):
    """Division of trials into test, holdout and training."""

    test: Literal["shared", "special"]
    holdout_fraction: Fraction
    seed: int


class Masks(Strict):
    """Masks in the voxel table in addition to the areas. All are written as volumes."""

    tabulated: tuple[Literal["early_visual", "visual", "nsdgeneral", "whole_brain"], ...]


class Area(Strict):
    """An area: labels of one ROI family."""

    family: str
    labels: tuple[str, ...] = Field(min_length=1)


class Areas(Checked, RootModel[dict[Annotated[str, Field(pattern=r"^\w+$")], Area]]):
    """The modelled areas by name."""

    model_config = ConfigDict(frozen=True)

    @property
    def labels(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """By area, its family and the labels that make it."""
        return {name: (area.family, area.labels) for name, area in self.root.items()}


class Prefilter(Strict):
    """Source of the weights of the first two layers."""

    source: Literal["alexnet", "gabor", "random"]
    path: Path
    url: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    seed: int


class Model(Strict):
    """Shapes and forward computation of the network."""

    trunk_width: Count
    readout: Literal["layerwise", "single_field"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_norm_momentum: Fraction
    trainable_prefilter: bool


InputMean = Literal["seen_images", "unshared_images", "training_images"]


class Choices(Strict):
    """The choices of a protocol; each can be overridden under `fitting`."""

    update: Literal["alternating", "simultaneous"]
    batches: Literal["fixed_slices", "reshuffled"]
    responses: Literal["trials", "image_means"]
    holdout: Literal["last_trials", "images"]
    input_mean_joint: InputMean
    input_mean_area: InputMean
    frozen_trunk: Literal["drifting", "frozen"]
    epochs: Count


class Protocols(Strict):
    """The two protocols."""

    published: Choices
    revised: Choices


OPTIONAL = {name: (field.annotation | None, None) for name, field in Choices.model_fields.items()}
ChoicesSetAlone = create_model("ChoicesSetAlone", __base__=Strict, **OPTIONAL)
"""Overrides of the choices of a protocol; None keeps the protocol's choice."""


class Fitting(ChoicesSetAlone):
    """Fitting of the models. Null keeps the protocol's choice."""

    protocol: Literal["published", "revised"]
    device: str
    seed: int | None
    batch_size: Annotated[int, Field(ge=2)]
    trunk_learning_rate: Positive
    readout_learning_rate: Positive
    l1: Annotated[float, Field(ge=0)]
    cache_gigabytes: Annotated[float, Field(ge=0)]
    precision: Literal["auto", "float32", "tf32", "bfloat16"]
    compiled: bool
    tensorboard: bool
    _state: Path | None = PrivateAttr(default=None)

    @property
    def state(self) -> Path | None:
        """File for the state of an unfinished fit; None if it is not kept."""
        return self._state

    def resumable(self, state: Path, seed: int | None) -> Fitting:
        """A copy for one fit: the file for its state, the seed of its run (`gnet.hooks.unfinished`)."""
        copy = self.model_copy(update={"seed": seed})
        copy._state = state
        return copy

    def choices(self, protocols: Protocols) -> Choices:
        """The choices of the protocol, with overrides applied."""
        alone = self.model_dump(include=set(Choices.model_fields), exclude_none=True)
        return getattr(protocols, self.protocol).model_copy(update=alone)

    def check_device(self) -> None:
        """Raise DeviceError for a device that is misspelt, or that this machine lacks."""
        from gnet.models.device import resolve_device  # imports torch

        resolve_device(self.device)


def fitting_of(inputs: Mapping[str, Any]) -> tuple[str, Fitting]:
    """The parameters of `fitting` among a node's inputs, and their name: a sweep's cells have their own."""
    return next((name, value) for name, value in inputs.items() if isinstance(value, Fitting))


MEASURED = "measured"
"""The brain whose responses were recorded."""


class Sweep(Strict):
    """Several fits of every model, one for each combination."""

    brains: tuple[Literal["measured", "hierarchical", "parallel", "even"], ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(min_length=1)
    protocols: tuple[Literal["published", "revised"], ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def short_forms(cls, values: Any) -> Any:
        """Take a number of seeds, and one name in the place of a list: a command line has no lists."""
        values = {name: [value] if isinstance(value, str) else value for name, value in values.items()}
        if isinstance(number := values.get("seeds"), int):
            if number < 1:
                raise ValueError(f"seeds: expected their number or a list of them, got {number}")
            values["seeds"] = range(1, values["seeds"] + 1)
        return values

    @model_validator(mode="after")
    def once_each(self) -> Sweep:
        """Refuse a value that is listed twice."""
        for name, values in self:
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: expected each once, got {', '.join(map(str, values))}")
        return self

    @property
    def cells(self) -> dict[str, dict[str, Any]]:
        """By the name of each combination of protocol and seed, what it sets under `fitting`.

        >>> list(Sweep(brains="measured", seeds=2, protocols="published").cells)
        ['published_1', 'published_2']
        """
        return {
            f"{protocol}_{seed}": {"protocol": protocol, "seed": seed}
            for protocol, seed in product(self.protocols, self.seeds)
        }


class Scoring(Strict):
    """Measurement of accuracy."""

    resamples: Count
    seed: int
    batch_size: Count


class Simulation(Strict):
    """The simulated release; sessions come from `release`."""

    volume_shapes: dict[Subject, tuple[Count, Count, Count]]
    planned_sessions: Count
    trials_per_session: Count
    shared_images: Count
    own_images: Count
    stimulus_pixels: Count
    voxels_per_label: tuple[Count, Count]
    organisation: Literal["parallel", "hierarchical", "even"]
    ceiling: tuple[float, float]
    noise_correlation: Annotated[float, Field(ge=0, le=1)]
    missing_voxels: Annotated[int, Field(ge=0)]
    seed: int


class Prediction(Strict):
    """Images that are predicted."""

    images: Literal["subject", "release"]
    folder: Path
    batch_size: Count


class Transfer(Strict):
    """Bootstrap of the hierarchy index."""

    resamples: Count
    seed: int


class Tuning(Strict):
    """Bootstrap and batches of the tuning analysis."""

    resample: Literal["trials", "images"]
    resamples: Count
    seed: int
    batch_size: Count


class Synthetic(Strict):
    """The responses of the synthetic experiment."""

    source: Literal["gnet8j", "gnet8r"]
    noise: Literal["none", "measured"]
    repetitions: Count
    seed: int
