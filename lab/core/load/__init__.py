"""Load as data: how much the customers of the study ask for, scaled to a machine, and what was served of it."""
