"""Benchmarks, each beside a peer and in the same run. `make bench` runs all of them, `make bench-<name>` one."""
