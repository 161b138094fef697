"""Makes a small release with a known brain, where there is no real one."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
