"""Stored data say what they were made with, so that a run with other parameters does not take them unseen."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline

from gnet.errors import OutdatedError
from gnet.hooks.configuration import flat, is_parameter, kedro_run, written_parameters
from gnet.io.recording import InventoryDataset
from gnet.storage.atomic import atomic_path

log = logging.getLogger(__name__)


class Records:
    """Stored data say what they were made with; a run with other parameters does not take them unseen.

    Beside every unversioned dataset that a node saves lies `<file>.parameters.json`, with the parameters of
    that node and of everything stored that it was made from. Data without a record, as a downloaded release,
    are taken as they are. Versioned data are not concerned: a model carries its own configuration.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember today's parameters, as they are written."""
        self.context = context
        self.parameters = json.loads(json.dumps(written_parameters(context), default=str))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Refuse what this run would load, and not make, if it was made with other parameters."""
        names = {name for name in pipeline.inputs() if not is_parameter(name)}
        made = nodes_to_run(run_params, pipeline, catalog)
        names |= pipeline.all_outputs() - {name for node in made for name in node.outputs}
        outdated = self._outdated(names, catalog)
        if outdated:
            concerned: dict[str, list[str]] = {}
            for name, changed in outdated.items():
                for parameter, (then, now) in changed.items():
                    concerned.setdefault(f"{parameter} was {then}, is {now}", []).append(name)
            raise OutdatedError(
                "\n".join(
                    [
                        "data were made with other parameters than today's, and are not used unseen:",
                        *(f"- {', '.join(names)}: {change}" for change, names in concerned.items()),
                        f"Make them again: {self._command(set(outdated), run_params, catalog)}",
                        "Or set the parameters back. Or keep both: another folder in GNET_DATA.",
                    ]
                )
            )

    @hook_impl
    def before_node_run(self, catalog: CatalogProtocol) -> None:
        """Remember where the node's data lie."""
        self.catalog = catalog

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the record of what is not there yet, so that a full disk leaves no data without one."""
        if not self.catalog.exists(dataset_name):
            self.after_dataset_saved(dataset_name, node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the record of what was just saved."""
        path = record_path(self.catalog.get(dataset_name))
        if path is None:
            return
        parameters: dict[str, Any] = {}
        for name in sorted(node.inputs, key=is_parameter):  # its own parameters last: they are today's
            if name.startswith("params:"):
                parameters[name.removeprefix("params:")] = looked_up(self.parameters, name[len("params:") :])
            elif not isinstance(self.catalog.get(name), InventoryDataset):  # nothing of it goes into the data
                parameters |= read_record(record_path(self.catalog.get(name)))
        with atomic_path(path) as part:
            part.write_text(json.dumps({"made_by": node.name, "parameters": parameters}, indent=1) + "\n")

    def _outdated(self, names: set[str], catalog: CatalogProtocol) -> dict[str, dict[str, tuple[str, str]]]:
        """Those of the datasets that exist and were made with other parameters: which, then and now."""
        found = {}
        for name in sorted(names):
            record = read_record(record_path(catalog.get(name)))
            if record and catalog.exists(name):
                today = {parameter: looked_up(self.parameters, parameter) for parameter in record}
                found[name] = changes(record, today)
        return {name: changed for name, changed in found.items() if changed}

    def _command(self, outdated: set[str], run_params: dict[str, Any], catalog: CatalogProtocol) -> str:
        """What makes the outdated data again, and nothing else but what they are made from."""
        registered = {name: pipeline for name, pipeline in pipelines.items() if name != "__default__"}
        everything = pipelines["simulation"] + pipelines["__default__"]
        behind = everything.to_outputs(*outdated).all_outputs()
        behind = set(self._outdated(behind, catalog))
        making = [name for name, pipeline in registered.items() if pipeline.all_outputs() & behind]
        outputs = ",".join(sorted(outdated))
        return kedro_run(self.context, run_params, "--pipelines", ",".join(making), "--to-outputs", outputs)


def nodes_to_run(run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> list[Node]:
    """All nodes, or of a run for what is missing those with an output that is."""
    if not run_params["only_missing_outputs"]:
        return pipeline.nodes
    return [node for node in pipeline.nodes if not all(map(catalog.exists, node.outputs))]


def record_path(dataset: Any) -> Path | None:
    """Where the record of a dataset lies; None if it is versioned, only read, or in memory."""
    path = getattr(dataset, "_filepath", None)
    if path is None or getattr(dataset, "_version", None) or getattr(dataset, "_read_only", False):
        return None
    return Path(f"{path}.parameters.json")


def read_record(
    path: Path | None, part: Callable[[Any], dict[str, Any]] = itemgetter("parameters")
) -> dict[str, Any]:
    """A part of a record, the parameters by their names; nothing if there is none."""
    if path is None or not path.is_file():
        return {}
    try:
        return part(json.loads(path.read_text()))
    except (ValueError, KeyError):
        log.warning("%s is no record that can be read: the data beside it are taken as they are.", path)
        return {}


def looked_up(parameters: Mapping[str, Any], name: str) -> Any:
    """A parameter by its dotted name; an empty mapping where there is none.

    >>> looked_up({"images": {"pixels": 75}}, "images.pixels")
    75
    """
    value: Any = parameters
    for word in name.split("."):
        if not isinstance(value, Mapping) or word not in value:
            return {}
        value = value[word]
    return value


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Parameters that differ, with both values as JSON. Where a file lies does not count, its checksum does.

    >>> changes({"images": {"pixels": 75}}, {"images": {"pixels": 227}})
    {'images.pixels': ('75', '227')}
    """
    before, after = ({name: json.dumps(value) for name, value in flat(side)} for side in (then, now))
    both = {name: (before.get(name, "not set"), after.get(name, "not set")) for name in {**before, **after}}
    return {
        name: (old, new)
        for name, (old, new) in both.items()
        if old != new and name.rpartition(".")[2] not in ("path", "url")
    }
