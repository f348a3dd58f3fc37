#!/bin/sh
# Makes .venv-generators: the programs that generate clients from the OpenAPI document, as pinned in
# tests/system/generators/. Their packages contradict those of constraints.txt, so they have a virtual environment of
# their own. Without npm the ones for TypeScript are left out, and their test is skipped.
set -eu
cd "$(dirname "$0")/.."

. scripts/find_python.sh
pins=tests/system/generators
log=$(mktemp)
trap 'rm -f "$log"' EXIT

python=
for name in python3.13 python3.12 python3.11 python3; do
    ! python=$(find_python "$name") || break
done

rm -rf .venv-generators
echo "Setting up .venv-generators ..." >&2
if ! {
    "$python" -m venv .venv-generators &&
        .venv-generators/bin/python -m pip install --progress-bar off --requirement "$pins/python.txt"
} >"$log" 2>&1; then
    cat "$log" >&2
    echo "could not set up .venv-generators for the reason above; make tries again from the start" >&2
    exit 1
fi
if command -v npm >/dev/null; then
    cp "$pins/package.json" "$pins/package-lock.json" .venv-generators/
    if ! npm ci --prefix .venv-generators --no-audit --no-fund >"$log" 2>&1; then
        cat "$log" >&2
        echo "could not set up the generator for TypeScript for the reason above; make tries again from the start" >&2
        exit 1
    fi
else
    echo "No generator for TypeScript: it needs npm. Its test will be skipped." >&2
fi
