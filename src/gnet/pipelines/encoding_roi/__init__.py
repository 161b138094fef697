"""GNet8r: one independent trunk per area, all subjects."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
