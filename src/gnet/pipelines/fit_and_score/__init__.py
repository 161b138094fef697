"""Fit and score models: what the encoding, transfer and synthetic pipelines are made of."""

from .pipeline import (
    INPUTS,
    PARAMETERS,
    area_models,
    joint_model,
    summarising,
    transfer_analysis,
    transfer_models,
)

__all__ = [
    "INPUTS",
    "PARAMETERS",
    "area_models",
    "joint_model",
    "summarising",
    "transfer_analysis",
    "transfer_models",
]
