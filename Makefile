# Every target builds what it needs from Python, make and the package registry alone.
#
#   PYTHON=/path/to/python3.12   the interpreter of the environment; default: python3 if it is
#                                3.10 or newer, else the newest one on this machine
#   PYTEST_FLAGS="-x -k journal"  what pytest is told; default: four processes, as tests wait a lot
#   LOCK_FLAGS=--upgrade         newer development requirements

PYTHON ?= $(shell python3 -c 'import ensurepip, sys; assert sys.version_info >= (3, 10)' \
    2>/dev/null && echo python3 || .ci/pythons | sed -n '1s/^[^ ]* //p')
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready
# Tests start thousands of processes: where this is set each of them compiles smtd anew.
unexport PYTHONDONTWRITEBYTECODE
PYTEST_FLAGS ?= -n 4 --dist worksteal
LOCK_FLAGS ?=
# Errors alone: an old pip warns of how it installs a package that has no wheel.
SILENT = --quiet --quiet
# What decides, acts and remembers: every branch of it is taken by its own tests.
CORE = merge engine journal
COMMA = ,
SPACE = $(subst ,, )

.PHONY: help demo test test-slow test-root check man deb docs screenshots merging soak bench coverage coverage-all mutation test-all lock clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^\([a-z-]*\):.*## */  make \1	/p' $(MAKEFILE_LIST)

demo: $(READY)  ## sync sample stores, and show what happens
	$(BIN)/smtd demo

test: $(READY)  ## run the tests
	$(BIN)/pytest $(PYTEST_FLAGS)

test-slow: $(READY)  ## run the tests that take seconds each
	SMTD_SLOW=1 $(BIN)/pytest $(PYTEST_FLAGS) -m slow

test-root: $(READY)  ## run, as root, the tests that only root can
	SMTD_SLOW=1 $(BIN)/pytest -m root

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_layers.py

man: $(READY)  ## build man pages, shell completions and the example configuration, in build/share
	rm -rf build/share
	$(BIN)/python -m docs.manual build/share

docs: $(READY)  ## build the site of the documents, in build/site, and check every link
	$(BIN)/pip install --quiet --require-hashes -r requirements-docs.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m docs.site build/site

screenshots: $(READY)  ## take the pictures in docs/images again, with chromium
	$(BIN)/python -m docs.screenshots docs/images

deb: $(READY)  ## build a package for this Debian, in dist
	$(BIN)/python deb/build.py dist build/wheels

merging: $(READY)  ## generate docs/explanation/merging.md again from the code that decides
	$(BIN)/python -m docs.merging docs/explanation/merging.md

soak: $(READY)  ## run every campaign (two hours), whole sweeps, and a minute of many programs on one database
	$(BIN)/python -m campaigns --write
	SMTD_FUZZ=100000 $(BIN)/pytest $(PYTEST_FLAGS) tests/stores/test_fuzz.py
	SMTD_SOAK=1 $(BIN)/pytest $(PYTEST_FLAGS) -m "not soak" tests/engine \
	    tests/integration/test_server_directions.py tests/integration/test_server.py \
	    tests/stores/sumatra_server \
	    tests/stores/test_tracking.py
	SMTD_SOAK=1 $(BIN)/pytest --timeout=3600 $(PYTEST_FLAGS) tests/servers/test_faults.py
	SMTD_SOAK=1 $(BIN)/pytest -s tests/servers/test_campaign.py
	SMTD_SOAK=1 $(BIN)/pytest $(PYTEST_FLAGS) -m soak --ignore=tests/servers/test_campaign.py

bench: $(READY)  ## measure, side by side with Sumatra's own sync
	$(BIN)/python -m bench

coverage: $(READY)  ## show the branches that no test takes; fail if one is in merge, engine or journal
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_FLAGS) $(CORE:%=tests/%)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=100 --include='$(subst $(SPACE),$(COMMA),$(CORE:%=smtd/%/*))'

coverage-all: $(READY)  ## run all tests and show the branches that none of them takes
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_FLAGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutation: $(READY)  ## change smtd/merge in every way that might matter, and show what no test notices
	$(BIN)/pip install --quiet --require-hashes -r requirements-mutation.txt
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut results

test-all:  ## run the tests on every Python from 3.10 on that this machine has
	@.ci/pythons | { passed=; failed=; \
	    while read -r version python; do \
	        echo "== Python $$version: $$python"; \
	        $(MAKE) test VENV=".venv-$$version" PYTHON="$$python" </dev/null \
	            && passed="$$passed $$version" || failed="$$failed $$version"; \
	    done; \
	    echo "== passed:$${passed:- none}; failed:$${failed:- none}"; \
	    test -n "$$passed" -a -z "$$failed"; \
	}

lock:  ## generate requirements-dev.txt, requirements-mutation.txt and requirements-docs.txt again
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	UV_PYTHON_DOWNLOADS=never .venv-lock/bin/uv pip compile pyproject.toml --group dev \
	    --universal --python-version 3.10 --generate-hashes $(LOCK_FLAGS) \
	    --no-annotate --custom-compile-command "make lock" --quiet -o requirements-dev.txt
	UV_PYTHON_DOWNLOADS=never .venv-lock/bin/uv pip compile pyproject.toml --group dev --group mutation \
	    --universal --python-version 3.10 --generate-hashes -c requirements-dev.txt \
	    --no-annotate --custom-compile-command "make lock" --quiet -o requirements-mutation.txt
	UV_PYTHON_DOWNLOADS=never .venv-lock/bin/uv pip compile pyproject.toml --group dev --group docs \
	    --universal --python-version 3.10 --generate-hashes -c requirements-dev.txt \
	    --no-annotate --custom-compile-command "make lock" --quiet -o requirements-docs.txt
	rm -rf .venv-lock

clean:  ## remove everything that make and the tools have built here
	rm -rf .venv .venv-* build dist htmlcov mutants .coverage .coverage.* .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "smtd needs Python 3.10 or newer, with its venv module:" \
	    "install one, or name it with make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "== installing smtd and the tools of its tests into $(VENV), once: this takes a minute or two"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install $(SILENT) --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install $(SILENT) --no-deps --no-build-isolation -e .
	@touch $@
