"""What is assumed: the prefilter, the trunk and the readouts of a GNet."""
