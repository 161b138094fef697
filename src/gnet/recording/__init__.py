"""Recordings of any laboratory: trials, units, responses, pictures and their reliability."""
