# `make demo` and `make test` do all their own set-up: a virtual environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# pip would compile 18,000 files, of which few are ever imported: Python compiles those then.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo search test check clean

install: $(VENV)/.installed

# Exported models are held against transformers. It goes beside the environment, not into it: every
# process that imports Lightning would import it too, and take seconds longer.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; give one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile \
		-c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps \
		-c constraints.txt --target $(VENV)/reference transformers regex
	@touch $@

demo: install  ## run the quickstart study and write its report
	$(BIN)/ablate run quickstart
	$(BIN)/ablate report quickstart

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

SMALL := --set seeds=1 --set protocol.search.seeds=1 --set protocol.search.trials=4 \
	--set training.max_steps=20 --set training.warmup_steps=4 \
	--set 'protocol.search.ranges.training.warmup_steps=[2, 4]' \
	--set model.n_layers=1 --set model.n_heads=2 --set model.d_model=32 \
	--set model.context_length=32 --set data.evaluation_tokens=512 \
	--set 'factors={model.activation: [gelu, swiglu], model.norm: [batch, layer], \
	model.placement: [pre, post]}'

search: install  ## a small version of the shipped study that searches, with its report
	$(BIN)/ablate run activation-norm-placement-tune $(SMALL)
	$(BIN)/ablate report activation-norm-placement-tune --formats pdf

check: install  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) ablate-out
