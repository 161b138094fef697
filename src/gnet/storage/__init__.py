"""Files, written atomically, and arrays that are too large to hold, without Kedro."""
