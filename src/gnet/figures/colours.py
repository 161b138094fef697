"""An area's colour, a subject's marker and a model's name are the same in every figure."""

from collections.abc import Iterable
from itertools import cycle

PALETTE = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")
"""Colours that people with any colour vision tell apart (Okabe and Ito 2008), without black and yellow."""
AREAS = dict(zip(("V1", "V2", "V3", "hV4"), PALETTE, strict=False))
"""The paper's areas, from cold to warm along the visual hierarchy."""
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p")
"""Markers of NSD's subjects 1 to 8."""
MODELS = {"gnet8j": "joint model", "gnet8r": "area-wise models"}
"""What models are called, by the names of their datasets."""
INK = "#333333"
"""Axes and text."""
GUIDE = "#8C8C8C"
"""Lines that are not data."""


def area_colours(areas: Iterable[str]) -> dict[str, str]:
    """The colour of each area: fixed for those of the paper, the next free ones for others, in their order.

    More than six areas share colours; titles tell them apart.

    >>> area_colours(["FFA", "hV4"])
    {'FFA': '#CC79A7', 'hV4': '#D55E00'}
    """
    free = cycle(PALETTE[len(AREAS) :])
    return {area: AREAS.get(area) or next(free) for area in dict.fromkeys(areas)}


def subject_marker(subject: str) -> str:
    """The marker of a subject, by the number in its name.

    >>> subject_marker("subj01"), subject_marker("subj02")
    ('o', '^')
    """
    number = int("".join(filter(str.isdigit, subject)) or 1)
    return MARKERS[(number - 1) % len(MARKERS)]
