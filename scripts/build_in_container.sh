#!/bin/sh
# `build` (once) or `nightly` from the mounted recall.toml; where there is none, of the demo.
set -eu
command=${1:-build}
config=${RECALL_TOML:-/catalogue/recall.toml}
if [ ! -f "$config" ]; then
    if [ "$command" = build ] && [ -e /artifacts/current ]; then
        echo "no $config is mounted and /artifacts has a live artifact: nothing to do"
        exit 0
    fi
    echo "no $config is mounted: taking the demo"
    config=/demo/recall.toml
    [ -f "$config" ] || python -m index_builder demo /demo
    if ! grep -q '^\[feedback\]' "$config"; then
        printf '\n[feedback]\nsource = "%s"\nevents = "/events"\n' "${RECALL_REDIS_URL:-/state}" >> "$config"
    fi
fi
exec python -m index_builder "$command" "$config" --artifacts /artifacts
