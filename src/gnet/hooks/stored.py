"""What the hooks ask of a dataset, be it one of `gnet.io`, in memory or anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gnet.storage.versions import versions as stored_versions


def place(dataset: Any) -> Path | None:
    """The file or folder where a dataset is stored; None if it is kept in memory or unknown."""
    return getattr(dataset, "place", None)


def versioned(dataset: Any) -> bool:
    """Whether every run saves a version of its own."""
    return getattr(dataset, "is_versioned", False)


def versions(dataset: Any) -> list[str]:
    """The stored versions, the oldest first."""
    path = place(dataset)
    return [] if path is None else [saved.parent.name for saved in stored_versions(path)]


def version_in_use(dataset: Any) -> str | None:
    """The version that a run loads: the one that was asked for, or the newest. None if there is none."""
    return dataset.version_in_use() if versioned(dataset) else None


def version_asked_for(dataset: Any) -> str | None:
    """The version that `--load-versions` names; None if it names none."""
    return getattr(dataset, "version_asked_for", None)


def record_path(dataset: Any, version: str | None = None) -> Path | None:
    """Where the record of a dataset lies; None if the dataset is only read, or in memory."""
    path = place(dataset)
    if path is None or dataset.read_only or (versioned(dataset) and version is None):
        return None
    return path / version / "record.json" if version else Path(f"{path}.record.json")
