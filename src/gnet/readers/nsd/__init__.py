"""The files of the Natural Scenes Dataset, read as they were released."""
