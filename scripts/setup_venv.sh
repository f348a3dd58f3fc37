#!/bin/sh
# Makes a virtual environment anew: clusterm out of this source tree, with everything that runs, tests and checks it, as
# pinned in constraints.txt. PYTHON names the Python to use; without it, the newest one that is supported and installed.
# VENV is the directory, .venv by default.
set -eu
cd "$(dirname "$0")/.."

. scripts/find_python.sh
venv=${VENV:-.venv}
[ -z "${PYTHON:-}" ] || PYTHON=$(find_python "$PYTHON" || echo "$PYTHON")
candidates=${PYTHON:-python3.13 python3.12 python3.11 python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

python=
without_venv=
for candidate in $candidates; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if "$candidate" -c 'import ensurepip' 2>/dev/null; then
        python=$candidate
        break
    fi
    without_venv=${without_venv:-$candidate}  # Debian has venv in a package of its own
done
if [ -z "$python" ] && [ -n "$without_venv" ]; then
    fail "$without_venv cannot make a virtual environment: apt-get install $(basename "$without_venv")-venv, then make again"
elif [ -z "$python" ]; then
    fail "clusterm needs Python 3.11 or newer, tried $candidates: install it, or name it as in make PYTHON=/path/to/python3"
fi

echo "Setting up $venv (about a minute) ..." >&2
# pip is pinned too, and comes first: the one that Python brings may be too old for groups and build constraints.
if ! {
    "$python" -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --progress-bar off -c constraints.txt pip &&
        "$venv/bin/python" -m pip install --progress-bar off -c constraints.txt --build-constraint constraints.txt \
            --group dev --editable ".[otel,postgresql]"
} >"$log" 2>&1; then
    cat "$log" >&2
    fail "could not set up $venv for the reason above; make tries again from the start"
fi
