"""Outside proof: what other projects' own test programs say about the lab, read and judged. Pure."""
