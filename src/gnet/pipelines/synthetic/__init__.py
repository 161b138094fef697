"""The experiment repeated on responses that a model itself predicted."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
