"""What all tests have in common."""

from hypothesis import settings

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
