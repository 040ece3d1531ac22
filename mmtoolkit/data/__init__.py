"""Prepares the data of a schema once: cached columns, splits and batches."""
