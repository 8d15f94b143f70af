# Each of these is enough by itself after a clone; each sets up its own virtual environment.
#
#   make demo    convert a TensorFlow 1 checkpoint to ONNX and to PyTorch, verify both, classify digits
#   make test    install what the tests need, then lint, type check and run all tests in parallel
#   make bench   the benchmarks, as ratios to what one would use instead (takes a while)
#   make mutants 100,000 damaged and deceitful files of every format, read under limits (takes hours)

PYTHON ?= python3
TORCH ?= torch==2.13.0
PIP_FLAGS ?= --quiet --disable-pip-version-check

.PHONY: demo test lint bench mutants clean

demo: .venv-demo/ready
	.venv-demo/bin/python examples/digits/demo.py

test: .venv/ready lint
	.venv/bin/python -m pytest -n auto --dist worksteal

lint: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv-bench/ready
	.venv-bench/bin/python benchmarks/weights.py
	.venv-bench/bin/python benchmarks/graphs.py

mutants: .venv/ready
	.venv/bin/python benchmarks/mutants.py --folder mutants

# PyTorch first: what is installed after it takes the build that is there instead of fetching another
.venv-demo/ready: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install $(PIP_FLAGS) $(TORCH)
	.venv-demo/bin/python -m pip install $(PIP_FLAGS) -e .
	touch $@

.venv/ready: pyproject.toml scripts/constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP_FLAGS) $(TORCH)
	.venv/bin/python -m pip install $(PIP_FLAGS) -c scripts/constraints.txt -e '.[test,lint,tensorflow]'
	touch $@

# tf2onnx wants versions of its own; in an environment beside the others it cannot hold them back
.venv-bench/ready: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install $(PIP_FLAGS) $(TORCH)
	.venv-bench/bin/python -m pip install $(PIP_FLAGS) -e '.[tensorflow]' safetensors tf2onnx
	touch $@

clean:
	rm -rf .venv .venv-demo .venv-bench demo-output mutants build dist
