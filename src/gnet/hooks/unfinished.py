"""A run that was killed goes on where it was when the same command is given again, with the same seed.

The state of each fit lies beside its model's folder, in `unfinished/<model>.pt`, until the whole run has
ended. All its fits have one seed: if `fitting.seed` is null, it is drawn from the clock and kept beside each
state, in `unfinished/<model>.seed.json`, where a later run of the same fits finds it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline

from gnet.hooks.provenance import nodes_to_run
from gnet.hooks.stored import place
from gnet.pipelines.parameters import fitting_of
from gnet.storage.atomic import atomic_path

log = logging.getLogger(__name__)


class UnfinishedFits:
    """Tells each fit where its state lies, and the seed of its run."""

    states: tuple[Path, ...] = ()
    """Where the states of the run's fits lie."""
    seed: int | None = None
    """Of the run; None if it fits nothing."""
    outer: UnfinishedFits | None = None
    """The same of the run whose prerequisites are being made."""

    @contextmanager
    def same_seed(self) -> Iterator[None]:
        """What is run in this block is run with the seed of the present run."""
        outer = self.outer = copy(self)
        try:
            yield
        finally:
            self.states, self.seed, self.outer = outer.states, outer.seed, outer.outer

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Choose the seed, before any prerequisites are made."""
        nodes = nodes_to_run(run_params, pipeline, catalog)
        # fits in the cells of a sweep have seeds of their own
        fits = (node for node in nodes if "params:fitting" in node.inputs)
        self.states = tuple(state for node in fits if (state := state_path(node, catalog)))
        if not self.states:
            self.seed = None
            return
        configured = catalog.load("params:fitting").seed
        kept = next((seed for state in self.states if (seed := read_seed(state)) is not None), None)
        known = [seed for seed in (configured, self.outer and self.outer.seed, kept) if seed is not None]
        self.seed = known[0] if known else time.time_ns() % 2**32
        if configured is None:
            origin = "that of unfinished fits" if kept == self.seed else "drawn, since fitting.seed is null"
            log.info("Seed of this run: %d, %s.", self.seed, origin)
        elif kept not in (None, configured):
            log.warning("Unfinished fits have seed %d, this run has %d: starting afresh.", kept, configured)

    @hook_impl(specname="before_pipeline_run", trylast=True)
    def keep_seed(self, catalog: CatalogProtocol) -> None:
        """Keep a seed that was drawn, when nothing stops the run any more; that of the outer run with it."""
        if not self.states:
            return
        drawn = catalog.load("params:fitting").seed is None
        for state in (*self.states, *(self.outer.states if self.outer else ())):
            if drawn:
                with atomic_path(seed_path(state)) as part:
                    part.write_text(json.dumps({"seed": self.seed}) + "\n")
            else:
                seed_path(state).unlink(missing_ok=True)

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any]) -> dict[str, Any]:
        """Hand the path of the state and the seed to a node that fits a model."""
        state = state_path(node, catalog)
        if state is None:
            return {}
        name, fitting = fitting_of(inputs)
        seed = fitting.seed if fitting.seed is not None else read_seed(state)
        return {name: fitting.resumable(state, seed)}

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Remove the states and seeds of all fits of the run, and those that earlier attempts have left."""
        ended = {state for node in pipeline.nodes if (state := state_path(node, catalog))}
        if self.seed is not None and self.outer is None:
            for path in {seed for state in ended for seed in state.parent.glob("*.seed.json")}:
                state = path.with_name(path.name.replace(".seed.json", ".pt"))
                if read_seed(state) == self.seed:
                    ended.add(state)
        for state in ended:
            state.unlink(missing_ok=True)
            seed_path(state).unlink(missing_ok=True)
            with suppress(OSError):  # not there, or others' are in it
                state.parent.rmdir()


def state_path(node: Node, catalog: CatalogProtocol) -> Path | None:
    """Where the state of the fit that a node makes lies; None for nodes that fit nothing that is stored."""
    if "fit" not in node.tags:
        return None
    [model] = node.outputs
    path = place(catalog.get(model))
    return None if path is None else path.parent / "unfinished" / f"{model}.pt"


def seed_path(state: Path) -> Path:
    """Where the seed of an unfinished fit lies."""
    return state.with_suffix(".seed.json")


def read_seed(state: Path) -> int | None:
    """The seed of an unfinished fit; None if none was kept."""
    path = seed_path(state)
    try:
        return int(json.loads(path.read_text())["seed"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        log.warning("%s: expected the seed of an unfinished run, found something else. Ignoring it.", path)
        return None
