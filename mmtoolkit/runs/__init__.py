"""Trains a schema into a run folder with scores, pictures and a report, and loads such folders."""
