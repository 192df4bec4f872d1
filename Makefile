# `make demo` and `make test` do all their own set-up, once, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-engines test-friends gpu lint docs clean

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

# scikit-learn's friends, which are installed first: docs/guide/friends.rst.
test-friends: $(READY)
	$(BIN)/python -m pip install --quiet -e ".[friends]"
	$(BIN)/python -m pytest -m friends

# All that needs a GPU: the tests there, the times, and figure 1 of the paper, which
# takes long, and goes on where it was interrupted. DATA is the folder of its images.
gpu: $(READY)
	@test -n "$(DATA)" || { echo "Say make gpu DATA=folder: benchmarks/README.md"; exit 1; }
	@$(BIN)/python -c "import torch, sys; torch.cuda.is_available() or sys.exit('torch finds no GPU here')"
	$(MAKE) test
	$(BIN)/python -m pytest tests/gpu -m ""
	$(BIN)/python -m pip install --quiet -e ".[benchmarks]"
	$(BIN)/python benchmarks/speed.py --sections gpu compiled --device cuda
	$(BIN)/python benchmarks/figure1.py --data $(DATA) --preset paper --device cuda --jobs 1 --checkpoints build/figure1

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

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
