"""What was measured, whoever measured it: trials, units, responses, pictures, how far they repeat."""
