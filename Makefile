# Every target creates what it needs; `make demo` and `make test` are all that a newcomer has to know.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FOUND = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

.PHONY: help demo demo-train demo-animate test test-slow lint bench chaos fidelity clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# torch first and pinned, then everything else under the same constraint: a looser order may fetch CUDA packages twice.
$(READY): pyproject.toml constraints.txt
	@$(FOUND) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "$(FOUND) is no Python 3.11 or 3.12: remove $(VENV) if it is there, then run make PYTHON=python3.12"; exit 1; }
	@echo "creating the environment in $(VENV) and installing packages: 2-5 minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pipeline,train,audit,dev]'
	$(BIN)/python -m pip install --quiet --no-deps rtmlib==0.0.16 # its dependencies would bring a second OpenCV
	@touch $@

demo: $(READY) ## render demo videos and build a dataset of them on a CPU (under 5 minutes on 2 cores)
	$(BIN)/mikudance demo demo-out

demo-train: $(READY) ## train a tiny model of the true architecture, both stages, on the demo's shards (20 to 40 minutes of one core)
	test -d demo-out/dataset/releases || $(BIN)/mikudance demo demo-out
	$(BIN)/python -m train.demo demo-out/dataset -o demo-out/train

demo-animate: $(READY) ## animate a picture with the network of demo-train, and score it against repeating the reference (minutes)
	test -d demo-out/train/stage2/export || $(MAKE) demo-train
	$(BIN)/mikudance demo-animate demo-out

test: $(READY) ## lint, types, import contracts and tests (under 15 minutes on 2 cores)
	@echo "lint, types, import contracts, then the tests: under 15 minutes on 2 cores"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 -m "not slow" --durations 15

test-slow: $(READY) ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow --timeout 3600

lint: $(READY) ## format and lint in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## speed and memory, as ratios against named peers; prints what docs/benchmarks.md records
	$(BIN)/python -m bench

chaos: $(READY) ## kill, starve and damage real builds and compare every byte with a quiet one (half an hour; without root it ends with 3: disks not run)
	$(BIN)/python -m bench.chaos

fidelity: $(READY) ## accuracy of every signal against ground truth; writes docs/fidelity.md
	$(BIN)/python -m bench.fidelity

clean: ## remove the environment and everything made by the demo
	rm -rf $(VENV) demo-out bench-out
