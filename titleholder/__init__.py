"""The `titleholder` command: starts the system, asks it, and tells its story."""
