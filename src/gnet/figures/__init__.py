"""How it is shown: one module per figure, tables and arrays in, a Matplotlib figure out."""
