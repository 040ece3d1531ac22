"""`mmt study`: train a grid of runs, and write one table and one figure of their scores."""
