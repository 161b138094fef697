"""What the configuration says, asked for before any pipeline runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
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


def kedro_run(context: KedroContext, run_params: Mapping[str, Any], *options: str) -> str:
    """The command for a run with other options and otherwise the configuration of this one."""
    words = ["kedro", "run"]
    if run_params["env"]:
        words += ["--env", run_params["env"]]
    if Path(context.config_loader.conf_source) != Path(context.project_path) / "conf":
        words += ["--conf-source", str(context.config_loader.conf_source)]
    words += options
    if run_params["runtime_params"]:
        given = flat(run_params["runtime_params"])
        words += ["--params", ",".join(f"{name}={value}" for name, value in given)]
    return shlex.join(words)


def flat(parameters: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters that are no mappings, with their dotted names.

    >>> dict(flat({"images": {"pixels": 75}, "seed": 1}))
    {'images.pixels': 75, 'seed': 1}
    """
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
