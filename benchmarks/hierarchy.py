"""Does the hierarchy index distinguish a hierarchical brain from a parallel one, and with how much data?

    python benchmarks/hierarchy.py [--sizes demo large] [--organisations parallel hierarchical even]
                                   [--seeds 1 2 3] [--protocols published revised] [--to FILE.csv]
    python benchmarks/hierarchy.py --perfect [--organisations ...] [--seeds ...]

For each size, organisation of the simulated brain, seed (of the brain and of the fits alike) and protocol,
the area-wise models and the transfer models are fitted from scratch in a temporary folder. Each result is
appended to the table at once. With `OMP_NUM_THREADS=1` one takes about five minutes at demo size, ten at the
large size, and forty with a trained prefilter.

With `--perfect` only readouts are fitted: the trunk of an area (Gabor energies and planted maps) and the
pooling fields are given. The index then reflects the organisation of the brain, not the quality of learning.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from gnet.analysis.comparison import mean_difference
from gnet.analysis.transfer_matrix import hierarchy_index
from gnet.evaluation.accuracy import voxel_correlation
from gnet.simulation import brain
from gnet.simulation.release import SimulationPlan, simulate

ROOT = Path(__file__).resolve().parents[1]
LARGE = {  # one subject, four times the images, twice the voxels, little noise
    "release": {"sessions": {"subj01": 36}, "subjects": ["subj01"]},
    "simulation": {
        "volume_shapes": {"subj01": [26, 30, 24], "subj02": [26, 30, 24]},
        "planned_sessions": 36,
        "shared_images": 200,
        "own_images": 1600,
        "voxels_per_label": [80, 120],
        "ceiling": [90, 98],
    },
}
TRAINED = {"model": {"trainable_prefilter": True}, "fitting": {"epochs": 72}}
TINY = yaml.safe_load((ROOT / "conf" / "tiny" / "parameters.yml").read_text())
"""Seconds, to try the script."""
SIZES = {"tiny": TINY, "demo": {}, "large": LARGE, "large_trained": LARGE | TRAINED}
CEILINGS = {"demo": (25.0, 60.0), "little": (90.0, 98.0), "none": None}
"""Ranges of single-trial noise ceilings, percent, for `--perfect`."""
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)


def measure(size: str, organisation: str, seed: int, protocol: str) -> pd.DataFrame:
    """Hierarchy index of one simulated brain, for each subject and pooled."""
    simulation = SIZES[size].get("simulation", {}) | {"organisation": organisation, "seed": seed}
    parameters = SIZES[size] | {"protocol": protocol, "seed": seed, "simulation": simulation}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GNET_DATA"] = folder
        with KedroSession.create(ROOT, env="base", runtime_params=parameters) as session:
            session.run(pipeline_names=["encoding_roi", "transfer"], to_outputs=["hierarchy_index"])
        with KedroSession.create(ROOT, env="base", runtime_params=parameters) as session:
            catalog = session.load_context().catalog
            table, matrix = catalog.load("hierarchy_index"), catalog.load("transfer_matrix")
    print(matrix.to_string(), flush=True)
    minutes = (time.perf_counter() - started) / 60
    return table.assign(
        size=size, organisation=organisation, seed=seed, protocol=protocol, minutes=round(minutes, 1)
    )


def perfect(organisation: str, seed: int, noise: str) -> tuple[float, np.ndarray]:
    """Index and shifts (model, tested) with the planted maps as trunks, with the demo's number of images.

    Readouts are ridge regressions of mean responses over three trials on the maps of a trunk, pooled with the
    voxel's planted field. The penalty is chosen on a tenth of the training images.
    """
    demo = yaml.safe_load((ROOT / "conf" / "base" / "parameters_simulation.yml").read_text())["simulation"]
    shapes = {"subj01": demo["volume_shapes"]["subj01"]}
    changed = {"volume_shapes": shapes, "organisation": organisation, "seed": seed}
    plan = SimulationPlan(sessions={"subj01": 10}, **(demo | changed))
    release = simulate(plan)
    planted = release.planted["subj01"]
    images = planted["image_id"] - 1
    generator = np.random.default_rng(seed)
    response = planted["responses"].astype(float)
    if CEILINGS[noise] is not None:
        ceiling = generator.uniform(*CEILINGS[noise], response.shape[1])
        response += generator.standard_normal(response.shape) * np.sqrt((100 / ceiling - 1) / 3)
    test = np.arange(len(images)) < plan.shared_images
    field = brain.fields(planted["x"], planted["y"], planted["sigma"])
    energies = brain.gabor_energies(release.images)
    r = np.stack(
        [
            ridge(
                np.concatenate([brain.pooled_maps(maps[images], field) for maps in chain], axis=1),
                response,
                test,
            )
            for chain in chains(energies, organisation, seed).values()
        ]
    )
    areas = [planted["area"] == area for area in brain.AREAS]
    shifts = [
        [mean_difference(row[area] - own[area])[0] for area, own in zip(areas, r, strict=True)] for row in r
    ]
    return hierarchy_index(np.array(shifts)).index, np.array(shifts)


def chains(energies: np.ndarray, organisation: str, seed: int) -> dict[str, list[np.ndarray]]:
    """For each area, the maps of all stages up to its own."""
    last = brain.area_maps(energies, organisation, seed)
    if organisation == "hierarchical":
        return {area: list(last.values())[: height + 1] for height, area in enumerate(brain.AREAS)}
    return {area: [energies, maps] for area, maps in last.items()}


def ridge(features: np.ndarray, response: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Correlation (voxel,) over the test images of a ridge regression on features (image, feature, voxel)."""
    train = np.flatnonzero(~test)
    held = train[::10]
    features = (features - features[train].mean(0)) / (features[train].std(0) + 1e-12)
    rest = np.setdiff1d(train, held)
    best = penalised_r(features, response, rest, held).argmax(0)
    final = penalised_r(features, response, train, np.flatnonzero(test))
    return np.take_along_axis(final, best[None], axis=0)[0]


def penalised_r(
    features: np.ndarray, response: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Correlation (penalty, voxel) of predictions and responses over the test images."""
    x = features[train].astype(float)
    gram = np.einsum("ikv,ilv->vkl", x, x, optimize=True)
    towards = np.einsum("ikv,iv->vk", x, response[train] - response[train].mean(0))
    r = []
    for penalty in PENALTIES:
        weights = np.linalg.solve(gram + penalty * np.eye(x.shape[1]), towards[:, :, None])[:, :, 0]
        r.append(voxel_correlation(response[test], np.einsum("ikv,vk->iv", features[test], weights)))
    return np.stack(r)


def main() -> None:
    """Measure every combination and print the mean and spread of the pooled index over seeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["demo"], choices=SIZES)
    parser.add_argument(
        "--organisations", nargs="+", default=brain.ORGANISATIONS, choices=brain.ORGANISATIONS
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--protocols", nargs="+", default=["published", "revised"])
    parser.add_argument("--to", type=Path, default=Path("hierarchy.csv"))
    parser.add_argument("--perfect", action="store_true", help="with given instead of fitted trunks")
    arguments = parser.parse_args()
    if arguments.perfect:
        for noise, organisation, seed in itertools.product(
            CEILINGS, arguments.organisations, arguments.seeds
        ):
            index, shifts = perfect(organisation, seed, noise)
            print(f"noise {noise}, {organisation}, seed {seed}: index {index:.2f}, shifts (model, tested)")
            print(shifts.round(3), flush=True)
        return
    bootstrap_project(ROOT)
    for size, protocol, seed, organisation in itertools.product(
        arguments.sizes, arguments.protocols, arguments.seeds, arguments.organisations
    ):
        line = measure(size, organisation, seed, protocol)
        line.to_csv(arguments.to, mode="a", header=not arguments.to.exists(), index=False)
    table = pd.read_csv(arguments.to)
    pooled = table[table["subject"] == "pooled"]
    keys = ["size", "protocol", "organisation"]
    print(pooled.groupby(keys)["index"].agg(["mean", "std", "min", "max", "count"]))


if __name__ == "__main__":
    main()
