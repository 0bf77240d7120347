#!/usr/bin/env bash
# Demo data → artifact → service → a first answer. What is there already is kept: a second run starts in seconds.
set -euo pipefail
python=.venv/bin/python
port=${RECALL_PORT:-8000}
demo=${DEMO:-demo}

[ -f "$demo/recall.toml" ] || $python -m index_builder demo "$demo"
[ -e "$demo/artifacts/current" ] || $python -m index_builder build "$demo/recall.toml"

RECALL_ARTIFACTS=${RECALL_ARTIFACTS:-$demo/artifacts} RECALL_PORT=$port RECALL_LOG_LEVEL=${RECALL_LOG_LEVEL:-warning} \
    $python -m app &
service=$!
trap 'kill "$service" 2>/dev/null || true' EXIT INT TERM
until $python scripts/first_answer.py --ready "http://127.0.0.1:$port"; do
    kill -0 "$service" 2>/dev/null || exit 1
    sleep 0.2
done
$python scripts/first_answer.py "http://127.0.0.1:$port"
wait "$service"
