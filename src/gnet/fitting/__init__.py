"""How it learns: the objective, the batches and the loop."""
