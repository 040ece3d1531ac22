"""How well and how fast mmtoolkit fills real tables, beside what a user would take instead: `make bench-tables`."""
