"""Errors, words, files and seeds for every other package. It needs no PyTorch."""
