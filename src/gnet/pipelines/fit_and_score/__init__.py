"""Fit and score models: what the encoding, transfer and synthetic pipelines are made of."""
