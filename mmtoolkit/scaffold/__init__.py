"""A project for a new plugin."""
