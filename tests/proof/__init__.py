"""The proof that the guards refuse: every guard of the pipeline stops at least one mutation that names it."""
