#!/bin/sh
# Builds from the mounted recall.toml, or, where there is none, the demo, once.
set -eu
config=${RECALL_TOML:-/catalogue/recall.toml}
if [ -f "$config" ]; then
    exec python -m index_builder build "$config" --artifacts /artifacts
fi
if [ -e /artifacts/current ]; then
    echo "no $config is mounted and /artifacts has a live artifact: nothing to do"
    exit 0
fi
echo "no $config is mounted: building the demo"
python -m index_builder demo /demo
exec python -m index_builder build /demo/recall.toml --artifacts /artifacts
