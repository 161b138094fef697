"""What do trunks fitted to single areas say of how a brain is organised?

    python benchmarks/hierarchy.py [--organisations hierarchical parallel even] [--seeds 1 2 3]
                                   [--own-images 800] [--ceiling 35 70] [--epochs 36] [--to FILE]

For each organisation and seed (of the brain and of the fits alike), a brain of one subject is planted, with
the sizes of the demo, an area-wise model is fitted to each area (mean responses, simultaneous updates), and
readouts on every other area's trunk are solved in closed form, by ridge regression under the fields of the
voxel's own model. Every result is appended to the file at once, as a line of JSON:

- `own`: median correlation of the area's own model with the noiseless responses to the test images
- `ridge`: the same, of the readouts in closed form on the area's own trunk
- `prefilter`: the same, on the prefilter's maps
- `shift`: [trunk, tested], mean difference of correlation from the area's own trunk; `index`: of these
- `added`: the same as `index`, of the maps of trunk and prefilter together

A line takes two to three minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from gnet.analysis.transfer_matrix import hierarchy_index
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import PrefilteredImages, predict
from gnet.fitting.batches import Trials
from gnet.fitting.models import FitData, fit_model
from gnet.fitting.ridge import pool, ridge_predictions
from gnet.fitting.stepper import Procedure
from gnet.models.gnet import Architecture, GNet
from gnet.models.nonlinearity import compress
from gnet.models.prefilter import gabor_weights
from gnet.recording.pictures import resize
from gnet.simulation.brain import AREAS
from gnet.simulation.release import PIXELS, SimulationPlan, simulate
from gnet.simulation.stages import ORGANISATIONS

DEMO = Path(__file__).resolve().parents[1] / "conf" / "base" / "parameters_simulation.yml"
BLOCK = 100


class Experiment:
    """A planted brain of one subject, and the mean responses of its voxels to each image."""

    def __init__(self, organisation: str, seed: int, own_images: int, ceiling: tuple[float, float]) -> None:
        demo = yaml.safe_load(DEMO.read_text())["simulation"]
        sessions = 3 * (demo["shared_images"] + own_images) // demo["trials_per_session"]
        changed = {"organisation": organisation, "seed": seed, "own_images": own_images}
        changed |= {"ceiling": ceiling, "planned_sessions": sessions}
        changed["volume_shapes"] = {"subj01": demo["volume_shapes"]["subj01"]}
        release = simulate(SimulationPlan(sessions={"subj01": sessions}, **(demo | changed)))
        planted, rows = release.subjects["subj01"].planted, release.design.stimulus_rows("subj01")
        self.seed, self.area, self.signal = seed, planted["area"], planted["responses"]
        self.images = np.ascontiguousarray(resize(release.images, PIXELS)[rows])
        random = np.random.default_rng([seed, 1])
        noise = np.sqrt((100 / planted["ceiling"] - 1) / 3) * random.standard_normal(self.signal.shape)
        self.mean = ((self.signal + noise) * np.sqrt(planted["ceiling"] / 100)).astype(np.float32)
        self.test = np.flatnonzero(release.design.shared)
        rest = random.permutation(np.flatnonzero(~release.design.shared))
        self.holdout, self.training = rest[: len(rest) // 10], rest[len(rest) // 10 :]

    def trials(self, rows: np.ndarray, area: str) -> Trials:
        """Mean responses of the voxels of an area to some images."""
        return Trials(rows, np.ascontiguousarray(self.mean[np.ix_(rows, self.area == area)]))

    def fit(self, area: str, epochs: int) -> GNet:
        """A model of an area."""
        architecture = Architecture(pixels=PIXELS, trunk_width=16, dropout=0.1)
        torch.manual_seed(self.seed)
        sizes = {"subj01": int((self.area == area).sum())}
        network = GNet(architecture, sizes, prefilter=gabor_weights(), input_mean=np.full(3, 0.5, np.float32))
        data = FitData(*({"subj01": self.trials(rows, area)} for rows in (self.training, self.holdout)))
        procedure = Procedure(
            update="simultaneous", batches="reshuffled", epochs=epochs, readout_learning_rate=0.02
        )
        return fit_model(network, data, self.images, procedure=procedure, seed=self.seed).network.eval()

    def accuracy(self, predicted: np.ndarray, area: str) -> np.ndarray:
        """Correlation of predictions for the test images with the noiseless responses of an area's voxels."""
        return voxel_correlation(self.signal[np.ix_(self.test, self.area == area)], predicted)


def measure(experiment: Experiment, epochs: int) -> dict[str, Any]:
    """Fit the models of all areas, and see what each trunk is good for in each area."""
    models = {area: experiment.fit(area, epochs) for area in AREAS}
    maps = {area: features(model, experiment.images) for area, model in models.items()}
    found: dict[str, Any] = {"own": [], "ridge": [], "prefilter": []}
    shift, added = np.empty((2, len(AREAS), len(AREAS)))
    rows = np.arange(len(experiment.images))
    for tested, area in enumerate(AREAS):
        parts = [experiment.trials(part, area) for part in (experiment.training, experiment.holdout)]
        fields = [field.detach().flatten(1) for field in models[area].readout("subj01").pooling_fields()]

        def accuracy(*trunks: str, fields=fields, parts=parts, area=area) -> np.ndarray:
            def pooled(some: slice) -> torch.Tensor:
                grids = [
                    compress(pool([grid], field[some]))
                    for trunk in trunks
                    for grid, field in zip(maps[trunk], fields, strict=False)
                ]
                return torch.cat(grids, dim=2)

            count = sum(grid.shape[1] for trunk in trunks for grid in maps[trunk])
            predicted = ridge_predictions(pooled, count, rows, *parts)
            return experiment.accuracy(predicted[experiment.test], area)

        source = PrefilteredImages(models[area], experiment.images, experiment.test)
        own = predict(models[area], "subj01", source, experiment.test, batch_size=BLOCK)
        maps["prefilter"] = prefiltered(models[area], experiment.images)
        r = {trunk: accuracy(trunk) for trunk in (*AREAS, "prefilter")}
        both = {trunk: accuracy(trunk, "prefilter") for trunk in AREAS}
        shift[:, tested] = [np.mean(r[trunk] - r[area]) for trunk in AREAS]
        added[:, tested] = [np.mean(both[trunk] - both[area]) for trunk in AREAS]
        for name, values in (
            ("own", experiment.accuracy(own, area)), ("ridge", r[area]), ("prefilter", r["prefilter"])
        ):  # fmt: skip
            found[name].append(round(float(np.median(values)), 3))
    index = {"index": hierarchy_index(shift).index, "added": hierarchy_index(added).index}
    return found | {"shift": shift.round(4).tolist()} | {name: round(it, 3) for name, it in index.items()}


@torch.no_grad()
def features(network: GNet, images: np.ndarray) -> list[torch.Tensor]:
    """What readouts see of a trunk: the maps of each grid, after the non-linearity."""
    blocks = [network.trunk(part) for part in blocks_of(network, images)]
    return [compress(torch.cat(grid)).flatten(2) for grid in zip(*blocks, strict=True)]


@torch.no_grad()
def prefiltered(network: GNet, images: np.ndarray) -> list[torch.Tensor]:
    """The prefilter's maps on the cells of the fine grid."""
    return [torch.cat(list(blocks_of(network, images)))[:, :, 1:-1, 1:-1].flatten(2)]


def blocks_of(network: GNet, images: np.ndarray) -> Iterable[torch.Tensor]:
    for start in range(0, len(images), BLOCK):
        yield network.prefiltered(torch.from_numpy(images[start : start + BLOCK]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--organisations", nargs="+", default=list(ORGANISATIONS), choices=ORGANISATIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--own-images", type=int, default=800)
    parser.add_argument("--ceiling", nargs=2, type=float, default=[35.0, 70.0])
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--to", type=Path, default=Path("hierarchy.jsonl"))
    given = parser.parse_args()
    for seed in given.seeds:
        for organisation in given.organisations:
            started = time.perf_counter()
            experiment = Experiment(organisation, seed, given.own_images, tuple(given.ceiling))
            row = {"organisation": organisation, "seed": seed, "own_images": given.own_images}
            row |= {"ceiling": given.ceiling, "epochs": given.epochs, **measure(experiment, given.epochs)}
            row["seconds"] = round(time.perf_counter() - started)
            print(json.dumps(row), flush=True)
            with given.to.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
