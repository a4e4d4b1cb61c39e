"""What a client saw over time, and the arithmetic on it: samples, outages, latencies, availability, ledgers. Pure."""
