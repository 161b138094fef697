"""The nodes of a run on several processes, graphics cards or machines, by Dask: see docs/cluster.md.

    kedro run --runner gnet.cluster.DaskRunner --runner-params cluster=slurm

A worker is one process that runs one node at a time, on one graphics card if it has any: random seeds belong
to a process. Nodes hand data on through the catalog, so the data folder lies on a disk that all share.
"""

from gnet.cluster.runner import CLUSTERS, DaskRunner

__all__ = ["CLUSTERS", "DaskRunner"]
