"""`mmt plugins new`: write the project of a new plugin."""
