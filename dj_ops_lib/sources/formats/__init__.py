"""How annotation files are laid out: where their entries begin and end, in bytes.

A layout indexes a file of any size in one streaming pass and later reads a
slice of it without touching the rest. What the entries mean is the readers'
matter, one package up.
"""
