"""Applies a trained run to a user's table: impute, embed, sample, score."""
