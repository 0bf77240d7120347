#!/bin/sh
# Makes a virtual environment with RecTools' SASRec, for `python -m benchmarks.sasrec`; nothing else needs it.
# usage: scripts/rectools_venv.sh DIR
# Not an extra of this project: it wants numpy 1 and an older attrs beside which our own packages don't resolve.
set -eu
dir=${1:?"usage: scripts/rectools_venv.sh DIR"}
"${PYTHON:-python3}" -m venv "$dir"
"$dir/bin/pip" install --quiet "torch==2.13.0" "rectools[torch]==0.19.0"
echo "$dir/bin/python fits SASRec now"
