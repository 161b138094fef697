"""How good it is: predictions, accuracies and their spread."""
