"""A trained run on tables: filling, embedding, sampling, scoring rows."""
