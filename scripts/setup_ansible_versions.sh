#!/bin/sh
# Makes .venv-ansible anew: a virtual environment for each other version of ansible-core that the tests run, as pinned in
# tests/ansible/versions/. The first line of each file there names the Pythons that the version runs on. A version for
# which no Python is installed is left out, and its tests are skipped.
set -eu
cd "$(dirname "$0")/.."

. scripts/find_python.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT

rm -rf .venv-ansible
mkdir .venv-ansible
for pins in tests/ansible/versions/*.txt; do
    version=$(basename "$pins" .txt)
    oldest=$(sed -n '1s/.*Python 3\.\([0-9]*\) to .*/\1/p' "$pins")
    newest=$(sed -n '1s/.*Python .* to 3\.\([0-9]*\)$/\1/p' "$pins")
    python=
    for minor in $(seq "$oldest" "$newest"); do
        ! python=$(find_python "python3.$minor") || break
    done
    if [ -z "$python" ]; then
        echo "No ansible-core $version: it needs Python 3.$oldest to 3.$newest with venv. Its tests will be skipped." >&2
        continue
    fi
    echo "Setting up .venv-ansible/$version ..." >&2
    if ! {
        "$python" -m venv ".venv-ansible/$version" &&
            ".venv-ansible/$version/bin/python" -m pip install --progress-bar off --requirement "$pins"
    } >"$log" 2>&1; then
        cat "$log" >&2
        echo "could not set up .venv-ansible/$version for the reason above; make tries again from the start" >&2
        exit 1
    fi
done
