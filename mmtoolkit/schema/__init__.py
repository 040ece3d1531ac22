"""The typed schema: reading it, `--set`, and faults with their places."""
