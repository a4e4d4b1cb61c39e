"""The pure core: model, validation, rendering, parsing, arithmetic. No I/O, no clock, no randomness."""
