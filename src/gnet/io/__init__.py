"""How it is stored: Kedro datasets."""
