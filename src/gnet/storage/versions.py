"""Versions of a dataset, `<name>/<version>/<name>`, as Kedro stores them."""

from __future__ import annotations

import re
from pathlib import Path

VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.[0-9]{3}Z")
"""Name of a version: the time (UTC) at which the run began. Sorted by name, versions are sorted by time."""


def versions(place: Path) -> list[Path]:
    """Stored files (or folders) of a versioned dataset, the oldest first; none if there is no such folder.

    A folder with any other name than Kedro gives, such as `best` or a copy made by hand, is not a version.
    """
    folders = sorted(place.iterdir()) if place.is_dir() else []
    files = [folder / place.name for folder in folders if VERSION.fullmatch(folder.name)]
    return [file for file in files if file.exists()]


def newest(place: Path) -> Path | None:
    """File of the newest version; None where there is none."""
    return next(reversed(versions(place)), None)
