"""Which voxels are where: masks as volumes, and one table of all voxels that are modelled."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
