"""Whose files: readers of the data sets of the world."""
