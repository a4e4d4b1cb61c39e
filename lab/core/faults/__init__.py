"""Faults that heal, as data: what each does, how it is proven to be there, what it leaves, how it is undone. Pure."""
