"""How it is shown: one module per figure, tables and arrays in, a Matplotlib figure out.

`areas` are always the names of the areas in the order in which they are drawn.
"""
