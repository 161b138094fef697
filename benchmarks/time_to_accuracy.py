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
from typing import Any

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from rich.console import Console
from rich.table import Table

from gnet.pipelines.fit_and_score.nodes import fit_gnet, score_gnet
from gnet.recording.measurements import choose_voxels

ROOT = Path(__file__).resolve().parents[1]
CHOICES = {
    "update": ("alternating", "simultaneous"),
    "batches": ("fixed_slices", "reshuffled"),
    "responses": ("trials", "image_means"),
}
PUBLISHED = ("alternating", "fixed_slices", "trials", "float32")


def loaded(folder: str, env: str) -> dict[str, Any]:
    """Data and parameters of the joint model; missing data are generated in the folder."""
    os.environ["GNET_DATA"] = folder
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env=env) as session:
        session.run(pipeline_names=["data_engineering", "masks"], only_missing_outputs=True)
    with KedroSession.create(ROOT, env=env) as session:
        catalog = session.load_context().catalog
        names = ("model", "fitting", "protocols", "images", "prefilter.source", "scoring", "areas")
        data = {f"params:{name}": catalog.load(f"params:{name}") for name in names}
        data |= {name: catalog.load(name) for name in ("images", "prefilter")}
        tables = [catalog.load(name) for name in ("voxels", "betas", "trials")]
    return data | {"measured": choose_voxels(*tables, areas=tuple(data["params:areas"].root))}


def measure(data: dict[str, Any], choice: tuple[str, ...], seed: int, epochs: int) -> dict[str, Any]:
    """Fit one model; return its epochs and its accuracy."""
    *chosen, precision = choice
    fitting = data["params:fitting"].model_copy(
        update=dict(zip(CHOICES, chosen, strict=True))
        | {"holdout": "images", "precision": precision, "seed": seed}
        | {"epochs": 3 * epochs if "image_means" in chosen else epochs}
    )
    images, measured = data["images"], data["measured"]
    model = fit_gnet(
        *(images, measured, data["prefilter"], data["params:model"], fitting),
        *(data["params:protocols"], data["params:images"], data["params:prefilter.source"]),
        kind="joint",
    )
    accuracy = score_gnet(images, measured, model, data["params:scoring"], fitting)
    return {
        **dict(zip((*CHOICES, "precision"), choice, strict=True)),
        "seed": seed,
        "holdout_r": model.history["holdout_median_r"].tolist(),
        "seconds": model.history["seconds"].tolist(),
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
    parser.add_argument("--env", default="base", help="`tiny`: seconds, to try the script")
    parser.add_argument("--data", type=Path, help="folder with the demo's data (default: a temporary one)")
    parser.add_argument("--to", type=Path, default=Path("time_to_accuracy.csv"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = loaded(str(arguments.data or folder), arguments.env)
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


def seconds_until(target: float, fit: dict[str, Any]) -> float:
    """Seconds until the holdout correlation reached the target; infinite if it never did."""
    reached = np.flatnonzero(np.array(fit["holdout_r"]) >= target)
    return float(np.cumsum(fit["seconds"])[reached[0]]) if len(reached) else np.inf


if __name__ == "__main__":
    main()
