# Two commands matter: `make demo` and `make test`. Both install into .venv what they need, once.
PYTHON ?= python3
DATA ?=
DEVICES ?=
FRAMES ?=
PRESET ?= balanced
OUT ?= demo
KEEP ?=
DRILL ?=

BIN := .venv/bin
INSTALLED := .venv/.installed

# Real frames for the tests, where they lie beside the checkout and nothing else is said.
ifeq ($(origin RINR_DATA), undefined)
ifneq ($(wildcard ../shared/data),)
export RINR_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: help demo ui test drills network docs lint format results results-long install clean

help:
	@echo "make demo     the whole pipeline on the sample: DATA=folder DEVICES=3 FRAMES=12 PRESET=balanced KEEP=1 OUT=demo"
	@echo "make ui       the Prefect UI on the last demo's database"
	@echo "make test     the tests (RINR_DATA=folder of real frames)"
	@echo "make drills   the long ones: kills, whole demos (DRILL=name picks)"
	@echo "make network  what crosses the radio between ten devices and a fog, by every way of sending (FRAMES=12 DEVICES=10)"
	@echo "make docs     the documents as pages, with the API reference, in site/"
	@echo "make lint     ruff, types, import arrows"
	@echo "make results  measures again what fits into an hour, writes docs/results.md and docs/results.html (results-long: hours)"
	@echo "make clean    stops what was left and removes what was made"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt install.sh
	@PYTHON="$(PYTHON)" bash install.sh

demo: $(INSTALLED)
	@$(BIN)/rinr demo --out "$(OUT)" --preset "$(PRESET)" \
		$(if $(DATA),--data "$(DATA)") $(if $(DEVICES),--devices $(DEVICES)) \
		$(if $(FRAMES),--frames $(FRAMES)) $(if $(KEEP),--keep)

ui: $(INSTALLED)
	@$(BIN)/rinr ui --out "$(OUT)"

test: $(INSTALLED)
	@$(BIN)/pytest -n 2 --dist loadfile

drills: $(INSTALLED)
	@$(BIN)/pytest -m drill $(if $(DRILL),-k "$(DRILL)")

network: $(INSTALLED)
	@$(BIN)/python -m benchmarks.network $(if $(FRAMES),--frames $(FRAMES)) $(if $(DEVICES),--devices $(DEVICES))

docs: $(INSTALLED)
	@$(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html; $(BIN)/mkdocs serve shows it while it is written"

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

results: $(INSTALLED)
	@$(BIN)/python -m benchmarks.results.rerun

results-long: $(INSTALLED)
	@$(BIN)/python -m benchmarks.results.rerun --long

clean:
	@if [ -f "$(OUT)/.rinr-demo" ]; then \
		if [ -x $(BIN)/rinr ]; then $(BIN)/rinr stop --out "$(OUT)" || exit 1; fi; \
		rm -rf "$(OUT)"; \
	fi
	@rm -rf .venv build dist residual_inr.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
