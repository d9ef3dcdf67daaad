# Two commands: `make demo` runs the line, `make test` runs the tests. Both set everything up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.andon-setup
DEMO_ARGS ?=

.PHONY: setup demo test lint clean
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@sh infra/setup.sh $(PYTHON) $(VENV)
	@touch $(STAMP)

demo: setup
	@$(BIN)/andon demo $(DEMO_ARGS)

test: setup
	$(BIN)/python -m pytest --cov --cov-report=term

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .venvs .andon
