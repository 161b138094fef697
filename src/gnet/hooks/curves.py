"""Curves of a fit while it runs, for TensorBoard, where the parameter `fitting.tensorboard` asks for them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Node

from gnet.errors import ParameterError
from gnet.hooks.configuration import data_root
from gnet.pipelines.parameters import fitting_of

EPOCHS = logging.getLogger("gnet-epochs")
"""Gets a record of each epoch of a fit, with its row of the history (`gnet.fitting.loop`)."""
CURVES = ("loss", "training_error", "holdout_median_r", "seconds")


class Curves:
    """Writes each epoch of a fit to `08_reporting/tensorboard/<version>/<model>` in the data folder."""

    handler: Scalars | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where curves lie."""
        self.folder = data_root(context) / "08_reporting" / "tensorboard"

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any], run_id: str) -> None:
        """Open the file of a fit."""
        self.close()  # that of a fit that was interrupted in a notebook
        if "fit" in node.tags and fitting_of(inputs)[1].tensorboard:
            [model] = node.outputs
            self.handler = Scalars(self.folder / run_id / model)
            EPOCHS.addHandler(self.handler)

    @hook_impl(specname="after_node_run")
    def close(self) -> None:
        """Close it."""
        if self.handler:
            EPOCHS.removeHandler(self.handler)
            self.handler.close()
            self.handler = None

    @hook_impl
    def on_node_error(self) -> None:
        """Close it all the same."""
        self.close()


class Scalars(logging.Handler):
    """Hands epochs to TensorBoard; ParameterError if that is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ParameterError(
                "fitting.tensorboard: expected TensorBoard, since it is true, found that it is not "
                'installed. Install it: pip install -e ".[tensorboard]", or set it to false.'
            ) from error
        super().__init__()
        self.writer = SummaryWriter(str(folder))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the row of an epoch, where TensorBoard sees it at once."""
        row = record.row  # type: ignore[attr-defined]
        for name in CURVES:
            self.writer.add_scalar(name, row[name], row["epoch"])
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()
        super().close()
