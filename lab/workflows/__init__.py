"""One module per verb; workflows use drivers, doors and the core, never one another's insides."""
