#!/bin/sh
# Makes .venv and installs the locked dependencies into it; says what is missing where the system's Python can't.
set -eu
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: Python 3.11 or newer is needed, $python is $("$python" --version 2>&1); set PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "error: this Python has no venv module; run: apt-get install python$version-venv" >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "installing into .venv (a few minutes the first time)" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[builder,dev]'
.venv/bin/python -c 'from models.native.library import PROBLEM; PROBLEM and print("warning: requests take longer:", PROBLEM)' >&2
