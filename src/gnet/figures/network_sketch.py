"""The network as a Mermaid diagram, which Kedro-Viz shows beside the node that fits it."""

from __future__ import annotations

from collections.abc import Iterable

from gnet.models.prefilter import MAPS
from gnet.models.trunk import COARSE, FINE, FIRST_MAPS, PREFILTER


def network_sketch(areas: Iterable[str], trunk: str) -> str:
    """Prefilter, trunk and readouts: every layer of the trunk leads to the readout of each subject.

    How many maps of a layer the readouts see is written in the trunk's width w, a parameter. Colours are
    given with that of the text on them, so that they serve on light and on dark ground.

    Parameters
    ----------
    areas
        Whose voxels the readouts predict.
    trunk
        What is to be said of the trunk, as "fitted to V1".

    >>> print(network_sketch(["V1"], "fitted to V1").splitlines()[0])
    flowchart TD
    """
    layers = FINE + COARSE
    maps = dict.fromkeys(layers, "w") | {FINE[0]: str(FIRST_MAPS)}
    lines = [
        "flowchart TD",
        'image(["image less its mean colour"])',
        f'prefilter["prefilter {" and ".join(PREFILTER)}: {MAPS[-1]} maps"]',
        f'trunk["trunk of all subjects, {trunk}"]',
        *(f'{name}["L{depth} {name}: {maps[name]} maps"]' for depth, name in enumerate(layers, start=1)),
        'fine(["fine pooling field of each voxel"])',
        'coarse(["coarse pooling field of each voxel"])',
        f'weights["feature weights of each voxel of {", ".join(areas)}"]',
        *(f'{name}["{name.replace("subject", "subject ")}"]' for name in ("subject1", "subject2")),
        'others["..."]',
        f"image --> prefilter --> trunk --> {' --> '.join(FINE)}",
        f"{FINE[-1]} -- max-pool --> {' --> '.join(COARSE)}",
        f"{' & '.join(FINE)} -.-> fine",
        f"{' & '.join(COARSE)} -.-> coarse",
        "fine & coarse --> weights --> subject1 & subject2 & others",
        "classDef trunk fill:#0072B2,color:#FFFFFF,stroke:#56B4E9",
        "classDef readout fill:#E69F00,color:#000000,stroke:#B07000",
        f"class trunk,{','.join(layers)} trunk",
        "class fine,coarse,weights,subject1,subject2,others readout",
    ]
    return "\n".join(lines) + "\n"
