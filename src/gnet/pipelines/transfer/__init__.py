"""Does a trunk trained on one area serve another?"""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
