"""How Kedro runs this project."""

import os

from kedro.framework.context import CatalogCommandsMixin
from kedro.io import DataCatalog

from gnet.cluster import CLUSTERS
from gnet.hooks.configuration import ConfiguredPipelines, DataFolder, KnownParameters
from gnet.hooks.curves import Curves
from gnet.hooks.endings import Errors, Interruptions, Summaries
from gnet.hooks.journal import Journal
from gnet.hooks.prerequisites import Prerequisites
from gnet.hooks.provenance import Provenance
from gnet.hooks.runs import OtherRuns
from gnet.hooks.unfinished import UnfinishedFits


class Catalog(DataCatalog, CatalogCommandsMixin):
    """Datasets that no catalog file names are handed on as they are, so no node may write into its inputs.

    Kedro's default copies them deeply: a memory-mapped array would be read into memory whole.
    """

    default_runtime_patterns = {"{default}": {"type": "kedro.io.MemoryDataset", "copy_mode": "assign"}}  # noqa: RUF012 - overrides Kedro's


_UNFINISHED = UnfinishedFits()
HOOKS = (  # of those that ask for the same place, Kedro calls the last one first
    DataFolder(),
    Errors(),
    Interruptions(),
    ConfiguredPipelines(),
    KnownParameters(),
    Prerequisites(_UNFINISHED),
    Provenance(),
    OtherRuns(),
    _UNFINISHED,
    Curves(),
    Summaries(),
    CLUSTERS,
    Journal(_UNFINISHED),  # the last of those that ask to be last: a run that is refused leaves no page
)
DATA_CATALOG_CLASS = Catalog
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"cluster": ["cluster.yml"]},
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"env": lambda name, default="": os.environ.get(name, default)},  # ${env:NAME}
}
