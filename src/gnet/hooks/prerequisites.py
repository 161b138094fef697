"""A pipeline brings what it needs: stored inputs that do not exist yet are made first."""

from __future__ import annotations

import logging
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from gnet.cluster import CLUSTERS
from gnet.errors import ModelFileError, OutdatedError
from gnet.hooks.configuration import is_parameter
from gnet.hooks.provenance import maker, outputs, refuse_outdated
from gnet.hooks.stored import place, version_in_use, versioned, versions
from gnet.hooks.unfinished import UnfinishedFits

log = logging.getLogger(__name__)


class Prerequisites:
    """Checks what a run would use, and makes what it lacks.

    The session of the prerequisites is served by the same hook objects.
    """

    def __init__(self, unfinished: UnfinishedFits) -> None:
        """Prerequisites are made with the seed of the run that needs them, which `unfinished` knows."""
        self.unfinished = unfinished

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember how this session was made, to make another like it."""
        self.context = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Refuse what is outdated, then make missing inputs in a session of their own.

        That session has the same environment, parameters and versions, runs every node between what exists
        and what is missing, and nothing else. What exists is never made again. What was made is checked, too.
        """
        refuse_outdated(self.context, run_params, pipeline, catalog)
        runner = CLUSTERS.another(run_params["runner"])
        fitting = ("params:fitting", "params:cells.")  # the same device in every cell of a sweep
        found = next((name for name in sorted(pipeline.inputs()) if name.startswith(fitting)), None)
        if runner is None and found:  # workers know their own
            catalog.load(found).check_device()  # now, not when the first fit begins
        stored = sorted(name for name in pipeline.inputs() if not is_parameter(name))
        missing = [name for name in stored if not catalog.exists(name)]
        if not missing:
            return
        refuse_unmade(missing, catalog)
        sources = ["__default__"] if catalog.exists("recording") else ["simulation", "__default__"]
        needed = sum(pipelines[source] for source in sources).to_outputs(*missing).all_outputs()
        made_twice = needed & outputs(run_params, pipeline, catalog)
        refuse_made_twice(missing, made_twice, run_params["pipeline_names"], catalog)
        names = ", ".join(run_params["pipeline_names"] or ["the default pipeline"])
        log.info("%s needs %s, not there yet: making it first.", names, ", ".join(missing))
        if "simulation" in sources:
            log.info("No release of the Natural Scenes Dataset here: simulating a small one.")
        session = KedroSession.create(
            self.context.project_path,
            env=run_params["env"],
            runtime_params=run_params["runtime_params"],
            conf_source=str(self.context.config_loader.conf_source),
        )
        with self.unfinished.same_seed(), session:
            session.run(
                pipeline_names=sources,
                runner=runner,
                to_outputs=missing,
                only_missing_outputs=True,
                load_versions=run_params["load_versions"],
            )
        refuse_outdated(self.context, run_params, pipeline, catalog)
        log.info("Made %s. Now %s.", ", ".join(missing), names)


def refuse_unmade(missing: list[str], catalog: CatalogProtocol) -> None:
    """Raise for inputs that no pipeline makes: the imported model, and versions that are named."""
    if "imported" in missing:
        path = place(catalog.get("imported"))
        raise ModelFileError(
            f"imported: expected a model at {path}, found none. Import one: gnet import-checkpoint FILE... "
            f"--to {path}"
        )
    for name in missing:
        version, there = version_in_use(catalog.get(name)), versions(catalog.get(name))
        if version is not None:
            raise OutdatedError(
                f"{name}: expected its version {version}, which --load-versions names, found "
                f"{', '.join(there) or 'no version at all'}. Name one of those, or none for the newest."
            )


def refuse_made_twice(
    missing: list[str], made_twice: set[str], asked: list[str] | None, catalog: CatalogProtocol
) -> None:
    """Raise OutdatedError if what is missing would be made from models that the run itself makes anew."""
    twice = sorted(name for name in made_twice if versioned(catalog.get(name)))
    if twice:
        others = dict.fromkeys([*(asked or []), *(maker(name, catalog)[0] for name in missing)])
        raise OutdatedError(
            f"{', '.join(missing)}: expected these to exist, or to be made before {', '.join(twice)}, found "
            f"that they are made from {', '.join(twice)}, which this run makes anew. Let one run make all of "
            f"them: --pipelines {','.join(others)}"
        )
