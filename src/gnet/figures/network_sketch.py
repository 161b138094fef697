"""The network as a Mermaid diagram, which Kedro-Viz shows beside the node that fits it."""

from __future__ import annotations

from collections.abc import Iterable

from gnet.models.trunk import COARSE, FINE, FIRST_MAPS


def network_sketch(areas: Iterable[str], trunk: str) -> str:
    """Prefilter, trunk and readouts, with every layer of the trunk leading to the readouts.

    How many maps a layer has is written in the trunk's width w, a parameter.

    Parameters
    ----------
    areas
        Whose voxels the readouts predict.
    trunk
        What is to be said of the trunk, as "fitted to V1".

    >>> print(network_sketch(["V1"], "fitted to V1").splitlines()[0])
    flowchart TD
    """
    depth = {name: f"L{number}" for number, name in enumerate(FINE + COARSE, start=1)}
    maps = {name: "w maps" for name in depth} | {FINE[0]: f"{FIRST_MAPS} maps"}
    lines = [
        "flowchart TD",
        'image["image less its mean colour"] --> conv1',
        'subgraph prefilter["prefilter: not fitted"]',
        'conv1["conv1"] --> conv2["conv2"]',
        "end",
        f"conv2 --> {depth[FINE[0]]}",
        f'subgraph trunk["trunk of all subjects: {trunk}"]',
    ]
    for grid, layers in {"fine": FINE, "coarse": COARSE}.items():
        chain = [f'{depth[name]}["{depth[name]}, {name}: {maps[name]}"]' for name in layers]
        lines += [f'subgraph {grid}["{grid} grid"]', " --> ".join(chain), "end"]
    lines += [f'{depth[FINE[-1]]} -->|"max-pool"| {depth[COARSE[0]]}', "end"]
    lines += [
        f'subgraph readouts["readouts: voxels of {", ".join(areas)}"]',
        'subject1["subject 1"] ~~~ subject2["subject 2"] ~~~ others["..."]',
        "end",
    ]
    lines += [
        f'{grid} ==>|"pooling field of each voxel, feature weights"| readouts' for grid in ("fine", "coarse")
    ]
    return "\n".join(lines) + "\n"
