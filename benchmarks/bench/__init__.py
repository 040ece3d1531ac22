"""The benchmarks of `make bench`: lines, each a ratio of two sides that take turns, or a time with its target."""
