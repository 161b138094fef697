"""Stored data say what they were made with and from, and a run refuses those that do not fit it.

A record lies beside an unversioned dataset (`<file>.record.json`) and in the folder of each version
(`<folder>/<version>/record.json`): a `Record` as JSON.

- Unversioned data are outdated if a parameter in their record differs from today's. Versioned data are not: a
  model carries its own configuration.
- Data are outdated if one of their sources is not of the version that this run would read (the newest, or
  the one that `--load-versions` names), or is outdated itself.
- Data without a record, as a downloaded release, are taken as they are.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline

from gnet.errors import OutdatedError
from gnet.hooks.configuration import flat, is_parameter, kedro_run, written_parameters
from gnet.hooks.stored import place, record_path, version_asked_for, version_in_use, versioned, versions
from gnet.storage.atomic import atomic_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """What a dataset was made with and from."""

    made_by: str = ""
    """Name of the node."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Of the node and of all unversioned data that it read, directly or through others; by dotted name."""
    sources: dict[str, str | None] = field(default_factory=dict)
    """Version of each of the stored data that it read; None for unversioned ones."""
    unfinished: bool = False
    """Whether the data beside it may be older, as those of a run that was stopped between the two."""


class Provenance:
    """Writes the record of everything that a run stores, before the data, so that none are without.

    Where the record replaces one, it says `unfinished` until the data are replaced, too.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.today = todays_parameters(context)

    @hook_impl
    def before_node_run(self, catalog: CatalogProtocol) -> None:
        self.catalog = catalog

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the record; one that fits nothing if there are older data that it does not describe."""
        self._write(dataset_name, node, data_saved=False)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """The data are stored: now the record describes them."""
        self._write(dataset_name, node, data_saved=True)

    @hook_impl
    def on_pipeline_error(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Remove the records of versions whose data were not stored."""
        for dataset in map(catalog.get, pipeline.all_outputs()):
            path = own_record_path(dataset)
            if path and versioned(dataset) and not (path.parent / place(dataset).name).exists():
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # other versions are there
                    path.parent.rmdir()
                    path.parent.parent.rmdir()

    def _write(self, name: str, node: Node, data_saved: bool) -> None:
        dataset = self.catalog.get(name)
        path = own_record_path(dataset)
        if path is None:
            return
        older_data = not data_saved and not versioned(dataset) and place(dataset).exists()
        record = make_record(node, self.catalog, self.today, unfinished=older_data)
        text = json.dumps(asdict(record), indent=1) + "\n"
        if not path.is_file() or path.read_bytes() != text.encode():
            with atomic_path(path) as part:
                part.write_text(text)


def make_record(
    node: Node, catalog: CatalogProtocol, today: Mapping[str, Any], unfinished: bool = False
) -> Record:
    """The record of what a node makes: its own parameters and sources, and those of what it reads."""
    stored = [name for name in node.inputs if place(catalog.get(name)) is not None]
    sources = {name: version_in_use(catalog.get(name)) for name in stored}
    parameters: dict[str, Any] = {}
    inherited: dict[str, str | None] = {}
    for name in sources:
        if not getattr(catalog.get(name), "is_check", False):
            record = read_record(catalog, name, None)  # an empty one of versioned data
            parameters |= record.parameters
            inherited |= {source: version for source, version in record.sources.items() if version}
    own = [name.removeprefix("params:") for name in node.inputs if name.startswith("params:")]
    parameters |= {name: looked_up(today, name) for name in own}
    return Record(node.name, parameters, inherited | sources, unfinished)


def nodes_making(name: str) -> Iterator[tuple[str, Node]]:
    """The nodes that make a dataset, each with the name of a registered pipeline that has it."""
    for pipeline in pipelines:
        for node in pipelines[pipeline].nodes:
            if name in node.outputs:
                yield pipeline, node


def maker(name: str, catalog: CatalogProtocol) -> tuple[str, list[str]]:
    """The smallest registered pipeline with the node that made a dataset, and what that node reads."""
    record = read_record(catalog, name, version_in_use(catalog.get(name)))
    found = []
    for pipeline, node in nodes_making(name):
        another = (node.name != record.made_by, not record.sources.keys() <= set(node.inputs))
        found.append((*another, len(pipelines[pipeline].nodes), pipeline, node.inputs))
    return min(found)[-2:] if found else ("__default__", [])


def own_record_path(dataset: Any) -> Path | None:
    """Where the record of what this run saves lies."""
    return record_path(dataset, dataset.resolve_save_version() if versioned(dataset) else None)


def read_record(catalog: CatalogProtocol, name: str, version: str | None) -> Record:
    """The record of a dataset, an empty one if there is none or none that can be read."""
    path = record_path(catalog.get(name), version)
    if path is None:
        return Record()
    try:
        written = dict(read_written(path).items())
        record = Record(**{key: written[key] for key in Record.__dataclass_fields__ if key in written})
        changes(record.parameters, {})
        for source, used in record.sources.items():
            if place(catalog.get(source)) is None or not isinstance(used, str | None):
                raise ValueError(f"expected names of stored datasets with their versions, found {source!r}")
    except (ValueError, TypeError, AttributeError, RecursionError):
        log.warning("%s is no record that can be read: the data beside it are taken as they are.", path)
        return Record()
    return record


def read_written(path: Path) -> dict[str, Any]:
    """What is written in a record, or in the file that gnet 0.1 wrote in its place."""
    of_version = path.name == "record.json"
    former = "made_from.json" if of_version else path.name.removesuffix("record.json") + "parameters.json"
    if not path.is_file():
        path = path.with_name(former)
    written = json.loads(path.read_text()) if path.is_file() else {}
    return {"sources": written} if path.name == "made_from.json" else written


def refuse_outdated(
    context: KedroContext, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
) -> None:
    """Refuse a run that would use stored data that do not fit it, with the command that makes them again.

    Raises OutdatedError; also if a version of what the run makes would hide the one that it is about to save.
    """
    made = outputs(run_params, pipeline, catalog)
    refuse_later_versions(made, catalog)
    used = {name for name in pipeline.datasets() - made if not is_parameter(name)}
    read = {name for node in nodes_to_run(run_params, pipeline, catalog) for name in node.inputs}
    walk = Walk(catalog, todays_parameters(context), made, read)
    outdated = {name: reasons for name in sorted(used) if (reasons := walk.outdated(name))}
    if not outdated:
        return
    concerned: dict[str, dict[str, None]] = {}
    for reasons in outdated.values():
        for name, reason in reasons:
            concerned.setdefault(reason, {})[name] = None
    lines = [
        "stored data were made with other parameters, or from other versions, than this run uses:",
        *(f"- {', '.join(names)}: {reason}" for reason, names in concerned.items()),
        f"Make them again: {kedro_run(context, run_params, walk.making(outdated), outdated)}",
        "Or set the parameters back. Or choose versions that belong together: --load-versions "
        "NAME:VERSION,... Or keep both: another folder in GNET_DATA.",
    ]
    raise OutdatedError("\n".join(lines))


def refuse_later_versions(made: set[str], catalog: CatalogProtocol) -> None:
    """Raise OutdatedError if a run would make a dataset and then go on with another version of it."""
    for name in sorted(made):
        dataset = catalog.get(name)
        if not versioned(dataset) or place(dataset) is None:
            continue
        own, newest = dataset.resolve_save_version(), max(versions(dataset), default="")
        if named := version_asked_for(dataset):
            raise OutdatedError(
                f"{name}: expected it to be read only, since --load-versions names its version "
                f"{named}, found that this run makes another. Leave it out of "
                "--load-versions, or run only the pipelines that read it."
            )
        if newest >= own:
            raise OutdatedError(
                f"{name}: expected only versions older than {own}, which this run is about to save, found "
                f"{newest}. The run would make {name} and then go on with that one, as the newest. Was the "
                "clock of this machine, or of the one that saved it, wrong? Set the clock right, or move "
                f"{place(dataset) / newest} to another folder."
            )


@dataclass(frozen=True)
class Walk:
    """From stored data back to everything that they were made from."""

    catalog: CatalogProtocol
    today: dict[str, Any]
    """The parameters of this run."""
    made: set[str]
    """What the run is to make: data of a version that does not exist yet."""
    read: set[str]
    """What the run is to read."""

    def outdated(self, name: str) -> list[tuple[str, str]]:
        """Why the data that a run would load do not fit it: datasets with reasons. Empty if they do."""
        behind, reasons = [(name, version_in_use(self.catalog.get(name)))], []
        for of, version in behind:  # which grows on the way
            record = read_record(self.catalog, of, version)
            if record.unfinished:
                reasons.append((of, "a run was stopped while it stored these"))
            elif version is None:
                today = {parameter: looked_up(self.today, parameter) for parameter in record.parameters}
                for parameter, (then, now) in changes(record.parameters, today).items():
                    reasons.append((of, f"{parameter} was {then}, is {now}"))
            for source, used in record.sources.items():
                if used is None:  # unversioned: its parameters are in this record, too
                    continue
                in_use = version_in_use(self.catalog.get(source))
                if source not in self.read and version_asked_for(self.catalog.get(of)):
                    in_use = used  # who names a version takes it with all that it was made from
                if source in self.made:
                    reasons.append((of, f"made from {source} of {used}, this run makes another"))
                elif in_use not in (None, used):
                    reasons.append((of, f"made from {source} of {used}, in use is {in_use}"))
                elif (source, used) not in behind:
                    behind.append((source, used))
        return reasons if reasons and self.catalog.exists(name) else []

    def making(self, outdated: Iterable[str]) -> list[str]:
        """The pipelines that make the outdated data, and the outdated ones among what these are made from."""
        behind, makes = list(outdated), set()
        for name in behind:
            pipeline, sources = maker(name, self.catalog)
            makes.add(pipeline)
            for source in sources:
                if source not in behind and not is_parameter(source) and self.outdated(source):
                    behind.append(source)
        return [name for name in pipelines if name in makes]


def nodes_to_run(run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> list[Node]:
    """All nodes, or of a run for what is missing those with an output that is."""
    if not run_params["only_missing_outputs"]:
        return pipeline.nodes
    return [node for node in pipeline.nodes if not all(map(catalog.exists, node.outputs))]


def outputs(run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> set[str]:
    """What a run is to make."""
    return {name for node in nodes_to_run(run_params, pipeline, catalog) for name in node.outputs}


def todays_parameters(context: KedroContext) -> dict[str, Any]:
    """The parameters as they are written, as JSON would give them back."""
    return json.loads(json.dumps(written_parameters(context), default=str))


def looked_up(parameters: Any, name: str) -> Any:
    """A parameter by its dotted name; an empty mapping if there is none.

    >>> looked_up({"images": {"pixels": 75}}, "images.pixels")
    75
    """
    for word in name.split("."):
        parameters = parameters.get(word, {}) if isinstance(parameters, Mapping) else {}
    return parameters


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Parameters that differ, with both values as JSON. A file's path does not count, its checksum does."""
    before, after = ({name: json.dumps(value) for name, value in flat(side)} for side in (then, now))
    both = {name: (before.get(name, "not set"), after.get(name, "not set")) for name in before | after}
    return {
        name: (old, new)
        for name, (old, new) in both.items()
        if old != new and name.rpartition(".")[2] not in ("path", "url")
    }
