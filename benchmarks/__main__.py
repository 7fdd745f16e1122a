"""`python -m benchmarks [name [part ...]]` runs one benchmark or all of them."""

from __future__ import annotations

import sys

from benchmarks.runner import main

if __name__ == "__main__":
    main(sys.argv[1:])
