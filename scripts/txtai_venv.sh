#!/bin/sh
# Makes a virtual environment with txtai's API, for `python -m benchmarks.recall_http --txtai DIR`; nothing else needs it.
# usage: scripts/txtai_venv.sh DIR
set -eu
dir=${1:?"usage: scripts/txtai_venv.sh DIR"}
"${PYTHON:-python3}" -m venv "$dir"
"$dir/bin/pip" install --quiet "torch==2.13.0" "txtai[api]==9.14.0" "sentence-transformers"
echo "$dir/bin/python runs txtai now"
