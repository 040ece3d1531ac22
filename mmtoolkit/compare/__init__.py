"""`mmt compare`: show the scores of several runs side by side."""
