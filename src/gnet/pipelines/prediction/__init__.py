"""Predictions of both models for every image, and the noise that they leave."""

from .pipeline import create_imported_pipeline, create_pictures_pipeline, create_pipeline

__all__ = ["create_imported_pipeline", "create_pictures_pipeline", "create_pipeline"]
