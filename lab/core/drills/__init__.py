"""Drills as data: what is broken, what should follow, what was seen, and the judgement of it. Pure."""
