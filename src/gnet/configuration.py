"""What the configuration says, asked for before any pipeline runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext


def written_parameters(context: KedroContext) -> dict[str, Any]:
    """The parameters as they are configured, read from the files once: Kedro would read them each time."""
    loader = context.config_loader
    if "parameters" not in loader.data:
        loader["parameters"] = loader["parameters"]
    return loader["parameters"]


def data_root(context: KedroContext) -> Path:
    """The folder of everything that is stored."""
    return Path(context.project_path) / context.config_loader["globals"]["data_root"]


def is_parameter(name: str) -> bool:
    """Whether a node's input of this name comes from the configuration."""
    return name == "parameters" or name.startswith("params:")
