"""What was measured: the files of the Natural Scenes Dataset, read as they are."""
