# Each target sets itself up in .venv from nothing.
PYTHON ?= python3
BIN := .venv/bin

# What pip holds versions to: CONSTRAINTS=/dev/null takes the newest of each package.
CONSTRAINTS ?= constraints.txt

.PHONY: demo test test-slow test-all test-oldest bench bench-tables lint types docs format schema reference clean

# What a user installs, which is all that the demo needs.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/ready: .venv/installed
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,docs]'
	touch $@

# Train on the bundled data and write runs/demo with its report; again, it starts afresh.
demo: .venv/installed
	rm -rf runs/demo
	$(BIN)/mmt run fashion_mini --out runs/demo

# A process a core, each with one thread: threads of several processes would wait for each other. Python keeps its byte code,
# since tests start hundreds of commands.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

# What a contributor needs: under five minutes on two cores.
test: .venv/ready
	$(PYTEST) -m "not slow"

# Fuzzing, killed runs, long runs, environments with plugins installed.
test-slow: .venv/ready
	$(PYTEST) -m slow

test-all: test test-slow

# The oldest versions that pyproject.toml promises, in an environment of their own.
.venv-oldest/ready: pyproject.toml constraints.txt tests/oldest.py
	$(PYTHON) -m venv .venv-oldest
	$(PYTHON) tests/oldest.py > .venv-oldest/constraints.txt
	PIP_CONSTRAINT=.venv-oldest/constraints.txt .venv-oldest/bin/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

test-oldest: BIN := .venv-oldest/bin
test-oldest: .venv-oldest/ready
	$(PYTEST) -m "not slow"

# MultiVae, beside which some lines of the bench run. It imports torchvision, which a stand-in in benchmarks/bench replaces, and
# asks for far more packages than its MVAE imports.
.venv-multivae/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-multivae
	PIP_CONSTRAINT=$(CONSTRAINTS) .venv-multivae/bin/pip install --quiet --disable-pip-version-check -e . scikit-learn pandas regex tqdm cloudpickle
	.venv-multivae/bin/pip install --quiet --disable-pip-version-check --no-deps multivae==1.0.3 pythae==0.1.2 nltk==3.10.4
	touch $@

# How fast mmtoolkit is, into benchmarks/results/ and docs/benchmarks.md: some 15 minutes on two cores where nothing else runs.
# An interrupted bench goes on. LINES="floor.bimodal tables" takes some lines, --list in their place prints their names.
bench: .venv/ready .venv-multivae/ready
	PYTHONPATH=benchmarks $(BIN)/python -m bench $(LINES)

# What tables are filled with besides mmtoolkit, and the tables.
.venv-tables/ready: pyproject.toml constraints.txt benchmarks/filling/requirements.txt
	$(PYTHON) -m venv .venv-tables
	PIP_CONSTRAINT=$(CONSTRAINTS) .venv-tables/bin/pip install --quiet --disable-pip-version-check -e . -r benchmarks/filling/requirements.txt
	touch $@

# How well and how fast real tables are filled, into benchmarks/results/filling/ and docs/filling.md: some hours on two cores where
# nothing else runs. TABLES="--tables tune --resume" takes one group and keeps what is known; TABLES=--help prints all options.
bench-tables: .venv-tables/ready
	.venv-tables/bin/python benchmarks/tables.py $(TABLES)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: .venv/ready
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests

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
	rm -rf .venv .venv-oldest .venv-multivae .venv-tables build dist site runs .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
