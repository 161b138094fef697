"""Fit a model: arrays in, a fitted model out. The pipelines use the same functions."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import UInt8

from gnet.errors import ParameterError
from gnet.evaluation.trained import checked_images
from gnet.fitting.batches import Trials, image_means
from gnet.fitting.loop import fit_network, seeded
from gnet.fitting.stepper import Procedure
from gnet.models.checkpoints import FittedModel, Voxels
from gnet.models.device import resolve_device, resolve_precision
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import Weights, prefilter_weights
from gnet.recording.measurements import Measurements
from gnet.recording.pictures import mean_colour, resize
from gnet.recording.split import whole_images

RESAMPLING = "bilinear"


@dataclass(frozen=True)
class FitData:
    """By subject, the trials that train a model and the holdout trials that select its best epoch."""

    training: Mapping[str, Trials]
    holdout: Mapping[str, Trials]

    @property
    def voxels(self) -> dict[str, Voxels]:
        """By subject, the voxels that are fitted."""
        return {
            subject: trials.voxels or Voxels(np.arange(trials.response.shape[1]))
            for subject, trials in self.training.items()
        }


def fit(
    images: Any,
    trials: Mapping[str, Trials],
    *,
    holdout: Mapping[str, Trials] | float = 0.1,
    architecture: Architecture | None = None,
    procedure: Procedure | None = None,
    prefilter: str | Weights = "gabor",
    device: str = "auto",
    seed: int | None = None,
) -> FittedModel:
    """Fit a GNet to responses: one trunk for all subjects, a readout with pooling fields for each voxel.

    Parameters
    ----------
    images : array of uint8, (image, y, x, 3) or (image, 3, y, x)
        All images, square. They are resized to the size of the architecture.
    trials : mapping of Trials
        By subject, the row in `images` that each trial showed and the responses, z-scored within sessions.
    holdout : float or mapping of Trials
        Trials that select the best epoch. A number: the fraction of each subject's images that are held out
        with all their trials, drawn at random.
    architecture : Architecture, optional
        By default the published network for images of this size.
    procedure : Procedure, optional
        By default the published one, 50 epochs.
    prefilter : str or Weights
        The fixed first two layers: `gabor`, `random`, or their weights (`gnet.models.prefilter`).
    device : str
        `auto | cpu | cuda | cuda:n | mps`.
    seed : int, optional
        Seed of the weights, the order of batches, dropout and the holdout; stored in the model. By default
        from the clock.

    Returns
    -------
    FittedModel
        On the CPU, in its best state. `save` writes it to a file that `gnet.load_model` opens.

    Raises ParameterError if images or trials have the wrong shape, type or range, FitError and DeviceError as
    `gnet.fitting.loop.fit_network`.
    """
    checked = checked_images(images)
    if checked.dtype != np.uint8:
        raise ParameterError(f"images: expected uint8, got {checked.dtype}. Convert them: 0 to 255.")
    architecture = architecture or Architecture(pixels=checked.shape[1])
    procedure = procedure or Procedure()
    seed = time.time_ns() % 2**32 if seed is None else seed
    trials = _checked_trials(trials, len(checked))
    if isinstance(holdout, Mapping):
        data = FitData(trials, _checked_trials(holdout, len(checked)))
    else:
        data = held_out(trials, holdout, seed)
    prepared = resize(checked, architecture.pixels, RESAMPLING)
    seen = np.unique(np.concatenate([part.image_row for part in data.training.values()]))
    sizes = {subject: len(voxels) for subject, voxels in data.voxels.items()}
    weights = prefilter_weights(prefilter, seed=seed) if isinstance(prefilter, str) else prefilter
    with seeded(seed):
        network = GNet(architecture, sizes, prefilter=weights, input_mean=mean_colour(prepared, seen))
    network.to(resolve_device(device))
    settings = {"resampling": RESAMPLING, "prefilter": prefilter if isinstance(prefilter, str) else "given"}
    return fit_model(network, data, prepared, procedure=procedure, seed=seed, settings=settings)


def fit_model(
    network: GNet,
    data: FitData,
    images: UInt8[np.ndarray, "image 3 y x"],
    *,
    procedure: Procedure,
    seed: int,
    areas: tuple[str, ...] = (),
    settings: Mapping[str, Any] | None = None,
    state: Path | None = None,
) -> FittedModel:
    """Fit a network in place (`gnet.fitting.loop.fit_network`), and record how.

    The configuration of the model is the procedure, the seed and `settings`, further plain values.
    """
    procedure = replace(procedure, precision=resolve_precision(procedure.precision, network.device))
    identity, settings = data_digest(network, data), settings or {}
    voxels, trunk = "+".join(areas), "+".join(settings.get("trunk_areas", areas))
    description = f"fit {voxels}" + (f", trunk of {trunk}" if trunk != voxels else "")
    history = fit_network(
        network,
        data.training,
        data.holdout,
        images,
        procedure=procedure,
        seed=seed,
        description=description.strip(),
        state=state,
    )
    recorded = {name: value for name, value in asdict(procedure).items() if name != "cache_bytes"}
    recorded |= {**settings, "seed": seed, "data": identity, "torch": torch.__version__}
    return FittedModel(network.cpu(), data.voxels, areas, recorded, history)


def fit_data(measured: Measurements, *, holdout: str, means: bool = False) -> FitData:
    """The training and holdout trials of all voxels that are not excluded.

    `holdout` is the rule, `last_trials` or `images` (`gnet.recording.split`); `means` averages the training
    trials by image.
    """
    parts: dict[str, dict[str, Trials]] = {"train": {}, "holdout": {}}
    for subject, table in measured.fitted.groupby("subject", sort=False):
        responses, trials = measured.responses[subject], measured.trials
        of_subject = trials[trials["subject"] == subject]
        shape = None if responses.volume_shape is None else tuple(map(int, responses.volume_shape))
        index, area = table["voxel_index"].to_numpy(), table["area"].to_numpy(str)
        fitted = Voxels(index, area, cast(tuple[int, int, int] | None, shape), responses.affine)
        for name, part in parts.items():
            chosen = of_subject[of_subject[f"part_{holdout}"] == name]
            response = responses.of(chosen["trial"].to_numpy(), table["column"].to_numpy())
            part[subject] = Trials(chosen["image_row"].to_numpy(), response, voxels=fitted)
        if means:
            parts["train"][subject] = image_means(parts["train"][subject])
    return FitData(parts["train"], parts["holdout"])


def data_digest(network: GNet, data: FitData) -> str:
    """Digest of the data of a fit: image rows, the first response, prefilter and input mean."""
    digest = hashlib.sha256()
    for tensor in (network.input_mean, *network.prefilter.parameters()):
        digest.update(tensor.detach().cpu().numpy().tobytes())
    for part in (data.training, data.holdout):
        for subject, trials in part.items():
            digest.update(subject.encode())
            digest.update(np.ascontiguousarray(trials.image_row).tobytes())
            digest.update(np.ascontiguousarray(trials.response[:1]).tobytes())  # one trial tells brains apart
    return f"sha256:{digest.hexdigest()[:12]}"


def held_out(trials: Mapping[str, Trials], fraction: float, seed: int) -> FitData:
    """Hold out a fraction of each subject's images; ParameterError unless both parts have images."""

    def chosen(part: Trials, mask: np.ndarray) -> Trials:
        count = None if part.count is None else part.count[mask]
        return replace(part, image_row=part.image_row[mask], response=part.response[mask], count=count)

    training, holdout = {}, {}
    for subject, part in trials.items():
        held = whole_images(part.image_row, fraction, seed) if 0 < fraction < 1 else np.zeros(1, bool)
        if held.all() or not held.any():
            raise ParameterError(
                f"{subject}: expected a holdout fraction that leaves images to train with and images to hold "
                f"out, got {fraction} of {len(np.unique(part.image_row))} images."
            )
        training[subject], holdout[subject] = chosen(part, ~held), chosen(part, held)
    return FitData(training, holdout)


def transferred(trained: GNet, architecture: Architecture, voxels: Mapping[str, int]) -> GNet:
    """A network with the prefilter, input mean and trunk of a trained one, and new readouts."""
    network = GNet(architecture, voxels)
    fixed = {name: value for name, value in trained.state_dict().items() if not name.startswith("readouts.")}
    network.load_state_dict(fixed, strict=False)
    return network


def _checked_trials(trials: Mapping[str, Trials], images: int) -> dict[str, Trials]:
    """The trials with responses in float32; ParameterError unless their image rows exist."""
    checked = {}
    for subject, part in trials.items():
        rows = part.image_row
        if not len(rows) or rows.min() < 0 or rows.max() >= images:
            found = f"{rows.min()} to {rows.max()}" if len(rows) else "no trials"
            raise ParameterError(
                f"{subject}: expected trials that show rows 0 to {images - 1} of the images, got {found}."
            )
        checked[subject] = replace(part, response=np.ascontiguousarray(part.response, np.float32))
    return checked
