"""The model: prefilter, trunk and readouts of a GNet."""
