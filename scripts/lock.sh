#!/usr/bin/env bash
# Rewrites requirements.lock with the newest versions that pyproject.toml admits; torch stays where it is pinned.
set -euo pipefail
pinned=$(grep '^torch==' requirements.lock || echo 'torch==2.13.0')
printf '%s\n' "$pinned" > .torch-pin.tmp
.venv/bin/pip-compile --quiet --strip-extras --all-extras --no-annotate --no-header --no-emit-index-url \
    --no-emit-find-links --no-emit-trusted-host --no-emit-options --upgrade -c .torch-pin.tmp \
    --output-file requirements.tmp pyproject.toml
# A local build's tag ("+cpu") exists on one machine only; CUDA's packages come with the torch that needs them.
sed -E 's/^(torch==[0-9.]+)\+.*/\1/' requirements.tmp | grep -vE '^(nvidia-|triton)' > requirements.lock
rm -f .torch-pin.tmp requirements.tmp
