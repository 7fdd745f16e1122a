"""The proof that the pipeline gates: every guard that there is, found by itself, stops at least one mutation by name."""
