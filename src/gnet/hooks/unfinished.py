"""A run that was killed goes on where it was when the same command is given again, with the same seed.

The state of each fit lies beside its model's folder, in `unfinished/<model>.pt`, until the whole run has
ended: models that the killed run had finished are not fitted a second time.

All fits of a run have one seed. If `fitting.seed` is null, it is drawn from the clock and kept beside the
states, in `unfinished/<model>.seed.json`: one file for each fit, since runs of several areas may be at work
at the same time. A run whose fits have such a file takes the seed from there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline

from gnet.hooks.provenance import nodes_to_run
from gnet.hooks.stored import place
from gnet.storage.atomic import atomic_path

log = logging.getLogger(__name__)


class UnfinishedFits:
    """Tells each fit where its state lies, and the seed of its run."""

    seed: int | None = None
    """The seed of the run; None if it fits nothing."""
    outer: int | None = None
    """The seed of the run whose prerequisites are being made."""

    @contextmanager
    def same_seed(self) -> Iterator[None]:
        """What is run in this block is run with the seed of the present run."""
        self.outer = seed = self.seed
        try:
            yield
        finally:
            self.seed, self.outer = seed, None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Choose the seed, before any prerequisites are made."""
        states = states_of(run_params, pipeline, catalog)
        if not states:
            self.seed = None
            return
        configured, kept = catalog.load("params:fitting").seed, kept_seed(states)
        known = [seed for seed in (configured, self.outer, kept) if seed is not None]
        self.seed = known[0] if known else time.time_ns() % 2**32
        if configured is None:
            origin = "that of unfinished fits" if kept == self.seed else "drawn, since fitting.seed is null"
            log.info("Seed of this run: %d, %s.", self.seed, origin)
        elif kept not in (None, configured):
            log.warning(
                "Unfinished fits have seed %d, this run has %d: starting afresh.", kept, configured
            )

    @hook_impl(specname="before_pipeline_run", trylast=True)
    def keep_seed(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Keep the seed, if it was drawn, when nothing stops the run any more."""
        for state in states_of(run_params, pipeline, catalog):
            if catalog.load("params:fitting").seed is not None:
                seed_path(state).unlink(missing_ok=True)
            else:
                with atomic_path(seed_path(state)) as part:
                    part.write_text(json.dumps({"seed": self.seed}) + "\n")

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any]) -> dict[str, Any]:
        """Hand the path of the state and the seed to a node that fits a model."""
        state = state_path(node, catalog)
        if state is None:
            return {}
        fitting = inputs["params:fitting"]
        seed = fitting.seed if fitting.seed is not None else read_seed(seed_path(state))
        return {"params:fitting": fitting.resumable(state, seed)}

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Remove the states and the seed of all fits of the run."""
        for node in pipeline.nodes:
            state = state_path(node, catalog)
            if state is not None:
                state.unlink(missing_ok=True)
                seed_path(state).unlink(missing_ok=True)


def states_of(run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> list[Path]:
    """Where the states of all fits lie that a run will make."""
    nodes = nodes_to_run(pipeline, catalog, run_params["only_missing_outputs"])
    return [state for node in nodes if (state := state_path(node, catalog))]


def state_path(node: Node, catalog: CatalogProtocol) -> Path | None:
    """Where the state of the fit that a node makes lies; None for nodes that fit nothing that is stored."""
    if "fit" not in node.tags:
        return None
    [model] = node.outputs
    path = place(catalog.get(model))
    return None if path is None else path.parent / "unfinished" / f"{model}.pt"


def seed_path(state: Path) -> Path:
    """Where the seed of an unfinished fit lies.

    >>> seed_path(Path("unfinished/V1.gnet8r.pt")).name
    'V1.gnet8r.seed.json'
    """
    return state.with_suffix(".seed.json")


def kept_seed(states: Iterable[Path]) -> int | None:
    """The seed of the first unfinished one of these fits, or of any other beside them; None if there is none.

    Others count for a run that was killed while it made its prerequisites.
    """
    own = [seed_path(state) for state in states]
    others = sorted(path for folder in {path.parent for path in own} for path in folder.glob("*.seed.json"))
    return next((seed for path in (*own, *others) if (seed := read_seed(path)) is not None), None)


def read_seed(path: Path) -> int | None:
    """The seed in a file; None if there is no such file, or no seed in it."""
    try:
        return int(json.loads(path.read_text())["seed"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        log.warning("%s: expected the seed of an unfinished run, found something else. Ignoring it.", path)
        return None
