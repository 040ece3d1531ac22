# Each target sets itself up in .venv from nothing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types docs format schema reference clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,docs]'
	touch $@

# Train on the bundled data and write runs/demo with its report; again, it starts afresh.
demo: .venv/ready
	rm -rf runs/demo
	$(BIN)/mmt run fashion_mini --out runs/demo

# A process a core, each with one thread: threads of several processes would wait for each other.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What editors check schema files with; a test says when it is out of date.
schema: .venv/ready
	$(BIN)/mmt schema > registry/schema.json

# The generated parts of the pages docs/schema.md, docs/cli.md and docs/reference.md; a test says when they are out of date.
reference: .venv/ready
	$(BIN)/python docs/hooks.py

clean:
	rm -rf .venv build dist site runs .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
