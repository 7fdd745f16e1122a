"""Whether whole policies decide right in generated worlds, and what they miss of the best possible."""
