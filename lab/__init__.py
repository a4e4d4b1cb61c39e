"""A reproducible high-availability lab: rendered from one model, brought up, proven, broken and put back."""
