"""What the hooks ask of a dataset: where it is stored, and in which version."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def place(dataset: Any) -> Path | None:
    """The file or folder where a dataset is stored; None if it is kept in memory or unknown."""
    path = getattr(dataset, "_filepath", None)
    return None if path is None else Path(path)


def exists(dataset: Any) -> bool:
    """Whether anything lies where a dataset is stored, be it whole or not."""
    path = place(dataset)
    return path is not None and path.exists()


def versioned(dataset: Any) -> bool:
    """Whether every run saves a version of its own."""
    return getattr(dataset, "_version", None) is not None


def read_only(dataset: Any) -> bool:
    """Whether no run saves it, as a downloaded release."""
    return getattr(dataset, "_read_only", False)


def versions(dataset: Any) -> list[str]:
    """The stored versions, the oldest first."""
    path = place(dataset)
    return sorted(saved.parent.name for saved in path.glob(f"*/{path.name}"))


def version_in_use(dataset: Any) -> str | None:
    """The version that a run loads: the one that was asked for, or the newest. None if there is none."""
    if not versioned(dataset):
        return None
    return dataset._version.load or max(versions(dataset), default=None)
