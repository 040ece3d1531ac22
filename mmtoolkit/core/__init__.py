"""The mathematics: posteriors, products of experts, subsets and batches, usable alone in any training loop."""
