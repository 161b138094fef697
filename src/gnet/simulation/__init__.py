"""A simulated release: a small Natural Scenes Dataset with a known brain."""
