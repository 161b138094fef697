"""Files, whole or not at all; arrays that are too large to hold. Nothing of Kedro."""
