# Every target sets up what it needs: a virtual environment in .venv with pinned requirements.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
QUICK := --method=mumomaml --domain=cheetah_speed --preset=quick

.PHONY: help run test lint format clean

help:
	@echo "make run                   train the quick preset; ARGS=\"--domain=...\" passes flags on"
	@echo "make test                  all tests; ARGS=\"tests/test_cli.py -k help\" picks some"
	@echo "make lint                  ruff and mypy"
	@echo "make format                ruff, rewriting"
	@echo "make clean                 remove the virtual environment"

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

run: $(VENV)/installed
	$(BIN)/python run_experiment.py $(or $(ARGS),$(QUICK))

# Each test runs once: with Bazel the fast ones there and the slow ones in pytest, else all in
# pytest.
test: $(VENV)/installed
ifneq ($(ARGS),)
	$(BIN)/python -m pytest $(ARGS)
else ifneq ($(shell command -v bazel),)
	bazel test //...
	$(BIN)/python -m pytest -n 2 -m slow
else
	@echo "Bazel is not installed; running all tests with pytest alone."
	$(BIN)/python -m pytest -n 2 -m "slow or not slow"
endif

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)
