# `make demo` and `make test` do all their own set-up, once, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-engines lint docs clean

demo: $(READY)
	$(BIN)/python examples/plot_digits.py

# The array API checks of scikit-learn run only where this is set before Python starts.
# One thread for each worker: more would only wait for each other.
PYTEST := SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test: lint
	$(PYTEST)

# The tests that take many seconds and rarely break. `make test` leaves them out.
test-slow: $(READY)
	$(PYTEST) -m slow

# The recipes for Dask, Ray and Spark, which are installed first. Spark needs Java.
test-engines: $(READY)
	$(BIN)/python -m pip install --quiet -e ".[engines]"
	$(BIN)/python -m pytest -m engines

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The examples run, which takes minutes. ONLINE=1 adds links into the docs of others.
docs: $(READY)
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[tests]"
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
