"""Which function on which data."""
