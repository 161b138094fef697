"""Does the hierarchy index tell a hierarchical brain from a parallel one? At demo size, over seeds.

    python benchmarks/hierarchy.py [--seeds 1 2 3] [--protocols published revised] [--to FILE.csv]

For each organisation of the simulated brain, seed (of the brain and of the fits alike) and protocol, the
area-wise models and the transfer models are fitted from scratch in a temporary folder. One line each is added
to the table as soon as it is there. On two cores a line takes about five minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

ROOT = Path(__file__).resolve().parents[1]


def measure(organisation: str, seed: int, protocol: str) -> pd.DataFrame:
    """The hierarchy index of each subject and pooled, of one simulated brain."""
    parameters = {
        "protocol": protocol,
        "seed": seed,
        "simulation": {"organisation": organisation, "seed": seed},
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GNET_DATA"] = folder
        with KedroSession.create(ROOT, env="base", runtime_params=parameters) as session:
            session.run(pipeline_names=["encoding_roi", "transfer"], to_outputs=["hierarchy_index"])
        with KedroSession.create(ROOT, env="base", runtime_params=parameters) as session:
            table = session.load_context().catalog.load("hierarchy_index")
    return table.assign(
        organisation=organisation, seed=seed, protocol=protocol, minutes=(time.perf_counter() - started) / 60
    )


def main() -> None:
    """Measure every combination and print the mean and spread over seeds of the pooled index."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--protocols", nargs="+", default=["published", "revised"])
    parser.add_argument("--to", type=Path, default=Path("hierarchy.csv"))
    arguments = parser.parse_args()
    bootstrap_project(ROOT)
    for protocol, seed, organisation in itertools.product(
        arguments.protocols, arguments.seeds, ("parallel", "hierarchical")
    ):
        line = measure(organisation, seed, protocol)
        line.to_csv(arguments.to, mode="a", header=not arguments.to.exists(), index=False)
    table = pd.read_csv(arguments.to)
    pooled = table[table["subject"] == "pooled"]
    print(pooled.groupby(["protocol", "organisation"])["index"].agg(["mean", "std", "min", "max", "count"]))


if __name__ == "__main__":
    main()
