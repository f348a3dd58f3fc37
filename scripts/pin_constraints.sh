#!/bin/sh
# Writes constraints.txt: the newest version of every package, as pip finds them together for the oldest Python that
# clusterm supports. That one limits ansible-core, and needs every backport that a newer one might not.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    echo "$python is not Python 3.11: install it, or name it as in make constraints PYTHON=/path/to/python3.11" >&2
    exit 1
fi

venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
"$venv/bin/python" -m pip install --quiet --group dev --editable ".[otel,postgresql]"
{
    echo "# Every package that clusterm is run, tested and built with, on Python 3.11 to 3.13. Written by \`make constraints\`."
    # setuptools comes with Python 3.11's virtual environments; nothing here uses it.
    "$venv/bin/python" -m pip freeze --all --exclude-editable | grep -v '^setuptools=='
} >"$venv/constraints.txt"
cp "$venv/constraints.txt" constraints.txt
