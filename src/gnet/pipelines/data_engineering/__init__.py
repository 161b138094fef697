"""From the release's files to images, responses and trials that a model can be fitted to."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
