"""The audit of dependencies: vulnerable packages fail it, and a source that knows nothing is not a good result."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.documents import ROOT

KNOWN: dict[str, Any] = {"name": "jinja2", "version": "2.10", "vulns": [{"id": "X-0", "fix_versions": []}]}
UNKNOWN: dict[str, Any] = KNOWN | {"vulns": []}
SOUND: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
VULNERABLE: dict[str, Any] = {"name": "b", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["2.1"]}]}
SKIPPED: dict[str, Any] = {"name": "c", "skip_reason": "not found"}

PIP_AUDIT = """
import json, pathlib, sys
arguments = dict(zip(sys.argv[1:], sys.argv[2:]))
source = json.loads(pathlib.Path(__file__).with_name("sources").read_text()).get(arguments["--vulnerability-service"])
if source is None:
    sys.exit("Traceback\\nno route")
probed = "constraints.txt" not in arguments["--requirement"]
print(json.dumps({"dependencies": source[:1] if probed else source[1:]}))
"""
"""Stands in for pip-audit, whose sources are on other machines. The first package of a source is asked first."""

NOT_AUDITED = "dependencies were not audited: pypi: {}; osv: no route"


@pytest.mark.parametrize(
    ("sources", "status", "said"),
    [
        ({"pypi": [KNOWN, SOUND]}, 0, "1 dependencies have no known vulnerability"),
        ({"pypi": [KNOWN, SOUND, VULNERABLE]}, 1, "b 2: X-1 (fixed in 2.1)"),
        ({"pypi": [SKIPPED], "osv": [KNOWN, VULNERABLE]}, 1, "b 2: X-1 (fixed in 2.1)"),
        ({"pypi": [UNKNOWN, SOUND]}, 0, NOT_AUDITED.format("it does not report the vulnerabilities of jinja2==2.10")),
        ({"pypi": [KNOWN, SOUND, SKIPPED]}, 0, NOT_AUDITED.format("it does not know c")),
    ],
)
def test_what_is_reported(tmp_path: Path, sources: dict[str, Any], status: int, said: str) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!{sys.executable}\n{PIP_AUDIT}")
    program.chmod(0o755)
    (tmp_path / "sources").write_text(json.dumps(sources))
    command = [sys.executable, str(ROOT / "scripts" / "audit.py"), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, f"{said}\n", "")
