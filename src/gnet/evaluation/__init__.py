"""Evaluation: predictions, accuracies and their spread."""
