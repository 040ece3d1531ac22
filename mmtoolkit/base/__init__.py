"""Errors, words, files and seeds: what every other package stands on. It needs no PyTorch."""
