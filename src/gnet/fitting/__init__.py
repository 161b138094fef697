"""Fitting: the objective, the batches and the training loop."""
