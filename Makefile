PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench docs

# torch is pinned on its own line first: a plain range would fetch a CUDA build of several gigabytes.
.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: .venv/.installed
	$(BIN)/filmstrip generate "a red circle moves left over a blue background" --seed 0 -o demo.mp4
	$(BIN)/filmstrip animate src/filmstrip/demo/picture.png --seed 0 -o animated.mp4

test: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed
	$(BIN)/python -m benchmarks.ltx --out benchmarks/results
	$(BIN)/python -m benchmarks.svd --out benchmarks/results

# The pages and the API reference, as a site that also works from a disk.
docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The animated picture of the README, by the demo models.
docs/images/filmstrip.webp: tools/docs_images.py .venv/.installed
	$(BIN)/python -m tools.docs_images $@
