"""What all driver tests need of the process they run in."""

from __future__ import annotations

import signal

# A shell starts its background jobs with SIGINT ignored, and every program below them would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
