"""What the configuration says: the data folder, parameters as they are written, areas, misspelt names."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.validation.exceptions import ParameterValidationError

from gnet.errors import ParameterError, StorageError, expected_one_of

SHORTCUTS = ("protocol", "seed", "device", "keep_models")
"""What `--params` may set by itself, protocol, seed and device in the place of those of `fitting`."""
CELLS = "cells"
"""The parameter with those of every cell of a sweep, which no file writes."""
SPECIAL = "*?[{$"
"""Characters that Kedro takes for patterns in the path of a dataset: it would find no version there."""


class DataFolder:
    """An environment that does not exist, or a data folder that cannot be used, stops a run first of all."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        check_environment(context)
        check_folder(data_root(context))


class ConfiguredPipelines:
    """One model per configured area, one cell of a sweep per configured combination."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Hand the names to the registry; build the pipelines anew if they differ."""
        from gnet import pipeline_registry

        parameters = written_parameters(context)
        names = [tuple(parameters.get(kind, ())) for kind in ("areas", CELLS)]
        brains = swept(parameters).brains if "sweep" in parameters else ()
        if pipeline_registry.use(*names, brains):
            pipelines.configure("gnet.pipeline_registry")


class KnownParameters:
    """A misspelt name among the parameters stops a run; those below the top are checked by their classes."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.configured = set(written_parameters(context))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Raise ParameterError for a name that no pipeline reads."""
        inputs = {name for pipeline in pipelines.values() for name in pipeline.inputs()}
        known = {name.removeprefix("params:").split(".")[0] for name in inputs if is_parameter(name)}
        known = known - {CELLS} | {"areas", "sweep", *SHORTCUTS}
        for name in sorted(self.configured - known - {CELLS}):
            expected = expected_one_of(sorted(known), name, "Correct its name, or remove it.")
            raise ParameterError(f"{name}: {expected}")


def written_parameters(context: KedroContext) -> dict[str, Any]:
    """The parameters as they are configured, read from the files once: Kedro would read them each time.

    With them, under `cells`, those of `fitting` in each combination of `sweep`.
    """
    loader = context.config_loader
    if "parameters" not in loader.data:
        read = loader["parameters"]
        loader["parameters"] = read | {CELLS: cells(read)} if "sweep" in read else read
    return loader["parameters"]


def cells(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The parameters of `fitting` in each combination of a sweep."""
    return {name: {**parameters["fitting"], **settings} for name, settings in swept(parameters).cells.items()}


def swept(parameters: Mapping[str, Any]) -> Any:
    """What a sweep combines: a `gnet.pipelines.parameters.Sweep`."""
    from gnet.pipelines.parameters import Sweep

    try:
        return Sweep.model_validate(parameters["sweep"])
    except ParameterValidationError as error:
        raise ParameterError(f"sweep: {error}. Correct it in the parameters.") from error


def data_root(context: KedroContext) -> Path:
    """The folder of everything that is stored."""
    return Path(context.project_path) / context.config_loader["globals"]["data_root"]


def check_environment(context: KedroContext) -> None:
    """Raise ParameterError for an environment without a folder in the configuration."""
    source = Path(str(context.config_loader.conf_source))
    known = sorted(path.name for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    if known and context.env not in (None, *known):
        raise ParameterError(f"environment: {expected_one_of(known, context.env)}")


def check_folder(folder: Path) -> None:
    """Raise StorageError for a name that Kedro takes for a pattern, or that is no folder on this machine."""
    advice = "Name another folder in the environment variable GNET_DATA."
    if set(SPECIAL) & set(str(folder)) or "~" in folder.parts or any(p.endswith(":") for p in folder.parts):
        raise StorageError(
            f"{folder}: expected a data folder whose name has none of {' '.join(SPECIAL)} in it and is "
            f"neither ~ nor an address such as s3://, found this one. {advice}"
        )
    try:
        found = None if folder.is_dir() or not folder.exists() else "a file"
        folder.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise
        found = error.strerror
    if found:
        raise StorageError(f"{folder}: expected a folder, or nothing yet, found: {found}. {advice}")


def is_parameter(name: str) -> bool:
    """Whether a node's input of this name comes from the configuration."""
    return name == "parameters" or name.startswith("params:")


def kedro_run(
    context: KedroContext, run_params: Mapping[str, Any], making: Iterable[str], outputs: Iterable[str]
) -> str:
    """The command that makes datasets in some pipelines, otherwise configured like this run."""
    words = ["kedro", "run"]
    if run_params["env"]:
        words += ["--env", run_params["env"]]
    if Path(context.config_loader.conf_source) != Path(context.project_path) / "conf":
        words += ["--conf-source", str(context.config_loader.conf_source)]
    outputs = sorted(outputs)
    words += ["--pipelines", ",".join(making), "--to-outputs", ",".join(outputs)]
    pinned = {k: v for k, v in (run_params.get("load_versions") or {}).items() if k not in outputs}
    if pinned:
        words += ["--load-versions", ",".join(f"{name}:{version}" for name, version in pinned.items())]
    if run_params["runtime_params"]:
        words += ["--params", ",".join(f"{k}={value}" for k, value in flat(run_params["runtime_params"]))]
    return shlex.join(words)


def flat(parameters: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters that are no mappings, with their dotted names such as images.pixels."""
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
