"""GNet8j: one trunk for all areas and all subjects."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
