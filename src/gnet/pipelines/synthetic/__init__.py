"""The experiment repeated on responses that a fitted model made."""

from .pipeline import create_imported_pipeline, create_pipeline

__all__ = ["create_imported_pipeline", "create_pipeline"]
