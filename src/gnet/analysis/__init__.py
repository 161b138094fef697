"""Interpretation: tuning, receptive fields, transfer between trunks, noise. Arrays in, arrays out."""
