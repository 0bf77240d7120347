# One word a task. `make run` and `make test` do all the set-up on a fresh machine.
.PHONY: install run test lint fmt bench lock up

PY := .venv/bin/python

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock hatch_build.py $(wildcard models/native/*.[ch])
	@sh scripts/install.sh
	@touch $@

run: install
	@bash scripts/run.sh

# Side by side, a file in one process; torch's threads would fight for the cores.
test: install
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: install
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

fmt: install
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

bench: install
	@$(PY) -m benchmarks.recall_http

lock: install
	@bash scripts/lock.sh

up:
	docker-compose up --build
