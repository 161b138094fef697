"""Results say which versions they were made from, so that a run does not mix those of different models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline

from gnet.errors import OutdatedError
from gnet.hooks.configuration import is_parameter, kedro_run
from gnet.hooks.records import nodes_to_run, read_record
from gnet.storage.atomic import atomic_path

RECORD = "made_from.json"


class Provenance:
    """Results say which versions they were made from; a run does not take those of earlier models unseen.

    Beside every version of a dataset lies `made_from.json`, with the version of each versioned dataset that
    the node had read. A run that would read a result is refused if any of these, or any that they were made
    from in turn, is not the version that the run would read itself: the newest, or the one that
    `--load-versions` names. Results without such a record are taken as they are.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember how this session was made."""
        self.context = context

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Refuse results of other versions than the run would read."""
        nodes = nodes_to_run(run_params, pipeline, catalog)
        read = {name for node in nodes for name in node.inputs if not is_parameter(name)}
        made = {name for node in nodes for name in node.outputs}
        walk = Walk(catalog, made)
        outdated = [
            name for name in sorted(read - made) if not walk.current(name, version_in_use(catalog.get(name)))
        ]
        if outdated:
            making = dict.fromkeys(maker(name, sources) for name, sources in walk.outdated.items())
            command = kedro_run(
                self.context,
                run_params,
                *("--pipelines", ",".join(making), "--to-outputs", ",".join(outdated)),
            )
            raise OutdatedError(
                "\n".join(
                    [
                        "results are of other versions than those in use, and are not mixed unseen:",
                        *(f"- {', '.join(names)}: {why}" for why, names in walk.reasons.items()),
                        f"Make them again: {command}",
                        "Or choose versions that belong together: --load-versions NAME:VERSION,...",
                    ]
                )
            )

    @hook_impl
    def before_node_run(self, catalog: CatalogProtocol) -> None:
        """Remember where the node's data lie."""
        self.catalog = catalog

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write down what the version that was just saved was made from."""
        dataset = self.catalog.get(dataset_name)
        if getattr(dataset, "_version", None) is None:
            return
        sources = {name: version_in_use(self.catalog.get(name)) for name in node.inputs}
        sources = {name: version for name, version in sources.items() if version}
        with atomic_path(Path(dataset._filepath) / dataset.resolve_save_version() / RECORD) as part:
            part.write_text(json.dumps(sources, indent=1) + "\n")


@dataclass
class Walk:
    """From results back to everything that they were made from."""

    catalog: CatalogProtocol
    made: set[str]
    """What the run is to make: a version that nobody has yet."""
    outdated: dict[str, dict[str, str]] = field(default_factory=dict)
    """Results that are not of the versions in use, with the versions that they were made from."""
    reasons: dict[str, list[str]] = field(default_factory=dict)
    """Which of those versions are not in use, and what was made from them."""
    known: dict[tuple[str, str], bool] = field(default_factory=dict)

    def current(self, name: str, version: str | None) -> bool:
        """Whether a version of a dataset was made, all the way back, from the versions in use."""
        if version is None:
            return True
        if (name, version) not in self.known:
            self.known[name, version] = True
            sources = read_record(Path(self.catalog.get(name)._filepath) / version / RECORD, dict)
            for source, used in sources.items():
                in_use = version_in_use(self.catalog.get(source))
                if source in self.made or in_use not in (None, used):
                    instead = "this run makes another" if source in self.made else f"in use is {in_use}"
                    self.reasons.setdefault(f"made from {source} of {used}, {instead}", []).append(name)
                elif self.current(source, used):
                    continue
                self.outdated[name] = sources
                self.known[name, version] = False
        return self.known[name, version]


def version_in_use(dataset: Any) -> str | None:
    """The version that a run would load: the newest if none was asked for. None where there is none."""
    version = getattr(dataset, "_version", None)
    if version is None or version.load:
        return version and version.load
    path = Path(dataset._filepath)
    return max((saved.parent.name for saved in path.glob(f"*/{path.name}")), default=None)


def maker(name: str, sources: Mapping[str, str]) -> str:
    """The registered pipeline that makes a dataset from these, the most special one."""
    for pipeline in sorted(set(pipelines) - {"__default__"}, key=lambda other: len(pipelines[other].nodes)):
        for node in pipelines[pipeline].nodes:
            if name in node.outputs and set(sources) <= set(node.inputs):
                return pipeline
    return "__default__"
