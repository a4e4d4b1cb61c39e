"""Pure parsers of what other programs print; no parser runs or reads anything itself."""
