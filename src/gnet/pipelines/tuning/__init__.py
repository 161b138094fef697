"""Which layers each voxel listens to, and where it looks."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
