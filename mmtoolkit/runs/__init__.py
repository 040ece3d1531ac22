"""A run from schema to report, and its folder."""
