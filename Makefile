# The few commands a newcomer, a contributor and CI need. `make demo` and `make test` install what they need first.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v) 2>/dev/null)) python3)
BIN := .venv/bin
ARGS ?=

ASSETS := gate/web/assets
BUILT := gate/web/static/manifest.json

.PHONY: install pages demo test check ci bench docker-test docs screenshots lowest lock clean

install: .venv/installed $(BUILT)

# Silent on stdout, so that `make demo ARGS="--once --json"` prints JSON and nothing else.
.venv/installed: requirements/lock.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv, once: this takes a minute" >&2
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/lock.txt >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . >&2
	@touch .venv/installed

pages: $(BUILT)  ## bundle the pages' scripts and styles, if they changed

$(BUILT): $(shell find $(ASSETS)/src $(ASSETS)/public -type f) $(wildcard $(ASSETS)/*.json $(ASSETS)/*.js) | .venv/installed
	@$(BIN)/python $(ASSETS)/build.py >&2

demo: install  ## the main job in a real Airflow; ARGS="--once --json" for scripts
	@$(BIN)/gate demo $(ARGS)

test: install  ## what a user runs; skips what needs a service that is not there
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow" $(ARGS)

check: install  ## style, types, layers, policies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/gate policy lint

ci: check test lowest  ## everything; .ci/run starts the services it needs
	$(BIN)/pytest -n 2 --dist loadgroup -m slow

lowest: install  ## what meets other packages, on the oldest versions that pyproject.toml admits, without Airflow and services
	@$(BIN)/uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --no-emit-index-url --no-header \
		--extra airflow --extra audit --extra demo --extra media --extra postgres --extra service --group dev \
		pyproject.toml -o .venv/lowest.txt
	@test -x .venv-lowest/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-lowest
	@$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python -r .venv/lowest.txt
	@$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --no-build-isolation -e .
	.venv-lowest/bin/python -m pytest -n 2 -m "not airflow and not postgres and not slow" --ignore tests/unit/docs \
		--ignore tests/unit/policy --ignore tests/unit/service tests/unit tests/contract

bench: install  ## speed and size as ratios of one run
	$(BIN)/python -m benchmarks $(ARGS)

docker-test: install  ## docker/compose.yaml for real, with crashes; needs root and Debian, ten minutes and more
	docker/test.sh $(ARGS)

docs: install  ## write the generated parts of the docs again
	$(BIN)/python docs/generate.py

screenshots: install  ## take the pictures in the docs again, from a real Airflow
	GATE_SCREENSHOTS=docs/images $(BIN)/pytest -n 0 tests/browser/test_pictures.py

lock: install  ## resolve the pinned, hashed lock again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras --group dev pyproject.toml -o requirements/lock.txt
	cp requirements/lock.txt requirements/image.txt  # whose versions are taken over
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra airflow --extra demo --extra media --extra postgres --extra service --group image \
		pyproject.toml -o requirements/image.txt
	echo 'uv' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header - -o requirements/uv.txt

clean:
	rm -rf .venv .venv-lowest gate/web/static $(ASSETS)/node_modules demo-home artifacts build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
