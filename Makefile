# `make demo` runs the line, `make test` the tests; both set everything up first.
# PYTHON is the interpreter to use; without it setup takes the fastest build of python3's version.
PYTHON ?=
# `no` installs files whose hashes constraints-hashed.txt does not name, such as builds of one's own.
HASHES ?= yes
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.andon-setup
DEMO_ARGS ?=
# Processes that share the tests which are not slow.
TEST_PROCESSES ?= 2
SHARED := -m "not slow" -n $(TEST_PROCESSES) --dist worksteal

.PHONY: setup demo test coverage test-all smoke lint clean
setup: $(STAMP)

$(STAMP): pyproject.toml constraints-hashed.txt
	@HASHES=$(HASHES) sh infra/setup.sh $(VENV) $(PYTHON)
	@touch $(STAMP)

demo: setup
	@$(BIN)/andon demo $(DEMO_ARGS)

test: setup
	$(BIN)/python -m pytest $(SHARED)

# The same with which lines ran; counting them takes as long again as the tests.
coverage: setup
	$(BIN)/python -m pytest $(SHARED) --cov --cov-report=term

# Then the slow tests (Ray, kill -9 of every process, Apache Kafka by Maven, MinIO by Go), which have
# the machine to themselves: an hour on two cores.
test-all: test
	$(BIN)/python -m pytest -m slow

# Every benchmark, as short as it runs, to see that it works. The figures mean nothing.
smoke: setup
	$(BIN)/andon benchmark expert --smoke
	$(BIN)/andon benchmark teaching --smoke
	$(BIN)/andon benchmark decision --smoke
	$(BIN)/andon benchmark links --smoke
	$(BIN)/andon benchmark learn --smoke
	$(BIN)/andon benchmark absorb --smoke
	$(BIN)/andon benchmark drift --smoke
	$(BIN)/andon benchmark policy --smoke
	$(BIN)/andon benchmark llm --smoke
	$(BIN)/andon benchmark history --smoke
	$(BIN)/andon benchmark console --smoke
	$(BIN)/andon benchmark camera --smoke
	$(BIN)/andon benchmark line --smoke
	$(BIN)/andon benchmark latency --smoke
	$(BIN)/andon benchmark faults --smoke
	$(BIN)/andon benchmark faults --smoke --schedule 1
	$(BIN)/andon benchmark mutants --smoke
	$(BIN)/andon benchmark stalls --smoke
	$(BIN)/andon benchmark takeover --smoke
	$(BIN)/andon benchmark soak --smoke
	$(BIN)/andon benchmark shots --smoke
	$(BIN)/andon benchmark recipes --smoke
	$(BIN)/andon benchmark products --smoke
	$(BIN)/andon benchmark lines --smoke

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .venvs .andon
