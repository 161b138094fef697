"""Figures, tables, maps and the report of a run."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
