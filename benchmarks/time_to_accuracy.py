"""Time until the demo's joint model reaches the final accuracy of the published procedure, over seeds.

    python benchmarks/time_to_accuracy.py [--seeds 1 2 3] [--epochs 12] [--precisions float32] [--to FILE.csv]

Fits the joint model of the demo release with every combination of update, batches and responses, all with the
same holdout images, and prints for each: seconds per epoch, seconds until the median holdout correlation
reaches that of the published combination in its best epoch, and the median correlation over the test trials.
Image means, a third as many as trials, get three times the epochs.
A plain transcription of the published code makes the same updates as the published combination and reaches
the same result; benchmarks/fitting.py measures how much slower it is (geometry c).
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from rich.console import Console
from rich.table import Table

from gnet.pipelines.fit_and_score.nodes import choose_voxels, fit_gnet, score_gnet

ROOT = Path(__file__).resolve().parents[1]
INPUTS = ("images", "betas", "voxels", "trials", "prefilter")
CHOICES = {
    "update": ("alternating", "simultaneous"),
    "batches": ("fixed_slices", "reshuffled"),
    "responses": ("trials", "image_means"),
}
PUBLISHED = ("alternating", "fixed_slices", "trials", "float32")


def loaded(folder: str) -> dict[str, object]:
    """Data and parameters of the joint model; missing data are generated in the folder."""
    os.environ["GNET_DATA"] = folder
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env="base") as session:
        session.run(pipeline_names=["data_engineering", "masks"], only_missing_outputs=True)
    with KedroSession.create(ROOT, env="base") as session:
        catalog = session.load_context().catalog
        names = ("model", "fitting", "protocols", "images", "scoring", "areas")
        data = {f"params:{name}": catalog.load(f"params:{name}") for name in names}
        data |= {name: catalog.load(name) for name in INPUTS}
    areas = tuple(data["params:areas"].root)
    return data | {"areas": areas, "voxels": choose_voxels(data["voxels"], data["betas"], areas=areas)}


def measure(data: dict[str, object], choice: tuple[str, ...], seed: int, epochs: int) -> dict[str, object]:
    """Fit one model; return its epochs and its accuracy."""
    *chosen, precision = choice
    fitting = data["params:fitting"].model_copy(
        update=dict(zip(CHOICES, chosen, strict=True))
        | {"holdout": "images", "precision": precision, "seed": seed}
        | {"epochs": 3 * epochs if "image_means" in chosen else epochs}
    )
    inputs = [data[name] for name in INPUTS]
    model = fit_gnet(
        *inputs,
        data["params:model"],
        fitting,
        data["params:protocols"],
        data["params:images"],
        areas=data["areas"],
        input_mean="input_mean_joint",
    )
    accuracy = score_gnet(*inputs[:4], model, data["params:scoring"], fitting)
    history = pd.DataFrame({name: np.asarray(column) for name, column in model["history"].items()})
    return {
        **dict(zip((*CHOICES, "precision"), choice, strict=True)),
        "seed": seed,
        "holdout_r": history["holdout_median_r"].tolist(),
        "seconds": history["seconds"].tolist(),
        "test_r": float(accuracy["r"].median()),
    }


def main() -> None:
    """Measure every combination and print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--data", type=Path, help="folder with the demo's data (default: a temporary one)")
    parser.add_argument("--to", type=Path, default=Path("time_to_accuracy.csv"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = loaded(str(arguments.data or folder))
        choices = list(itertools.product(*CHOICES.values(), arguments.precisions))
        fits = [
            measure(data, choice, seed, arguments.epochs) for seed in arguments.seeds for choice in choices
        ]
    pd.DataFrame(fits).to_csv(arguments.to, index=False)
    best = {tuple(fit.values())[:5]: max(fit["holdout_r"]) for fit in fits}
    table = Table(
        "update", "batches", "responses", "precision", "epoch s", "s to target", "test r", "sd of r"
    )
    for choice in choices:
        of_choice = [fit for fit in fits if tuple(fit.values())[:4] == choice]
        until = [seconds_until(best[(*PUBLISHED, fit["seed"])], fit) for fit in of_choice]
        test = np.array([fit["test_r"] for fit in of_choice])
        table.add_row(
            *choice,
            f"{np.mean([fit['seconds'] for fit in of_choice]):.2f}",
            " ".join(f"{seconds:.1f}" for seconds in until),
            f"{test.mean():.4f}",
            f"{test.std(ddof=1):.4f}" if len(test) > 1 else "",
        )
    Console(width=130).print(table)


def seconds_until(target: float, fit: dict[str, object]) -> float:
    """Seconds until the holdout correlation reached the target; infinite if it never did."""
    reached = np.flatnonzero(np.array(fit["holdout_r"]) >= target)
    return float(np.cumsum(fit["seconds"])[reached[0]]) if len(reached) else np.inf


if __name__ == "__main__":
    main()
