"""Brain-optimised encoding models of the visual cortex, after St-Yves et al. 2023."""

__version__ = "0.1.0"
