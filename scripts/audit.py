"""Check the pinned packages for published vulnerabilities: `python scripts/audit.py`.

pip-audit runs in a virtual environment of its own. If no source of advisories can be reached, this is stated in one
line, and the exit status is 0; it is 1 if a package is vulnerable.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
_ENVIRONMENT: Final = ROOT / ".venv-audit"
_PACKAGE: Final = "pip-audit==2.10.1"
_SOURCES: Final = ("pypi", "osv")
_VULNERABLE: Final = "jinja2==2.10"
"""A package that a source reports if it works; it is asked first."""

_TIMEOUT_S: Final = 60
"""Seconds for the installation, and for each source."""


class NotAudited(Exception):
    """A source of advisories cannot be used."""


def main(program: Path | None = None) -> int:
    """Print the vulnerable packages, and return the exit status.

    Args:
        program: pip-audit; None to install it.
    """
    reasons = []
    try:
        program = program or _install()
        for source in _SOURCES:
            try:
                packages = _audit(program, source)
            except NotAudited as error:
                reasons.append(f"{source}: {error}")
            else:
                found = [f"{each['name']} {each['version']}: {_described(each)}" for each in packages if each["vulns"]]
                print("\n".join(found) or f"{len(packages)} dependencies have no known vulnerability")
                return 1 if found else 0
    except NotAudited as error:
        reasons.append(str(error))
    print(f"dependencies were not audited: {'; '.join(reasons)}")
    return 0


def _install() -> Path:
    """Install pip-audit, and return its path.

    Raises:
        NotAudited: it cannot be installed.
    """
    program = _ENVIRONMENT / "bin" / "pip-audit"
    if not program.exists():
        venv.create(_ENVIRONMENT, clear=True, with_pip=True)
        _run(_ENVIRONMENT / "bin" / "pip", "install", "--quiet", _PACKAGE)
    return program


def _audit(program: Path, source: str) -> list[dict[str, Any]]:
    """Return all pinned packages with their vulnerabilities.

    Raises:
        NotAudited: the source cannot be reached, or does not know a package, which pip-audit only skips.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as probe:
        probe.write(f"{_VULNERABLE}\n")
        probe.flush()
        if not _ask(program, source, probe.name)[0]["vulns"]:
            raise NotAudited(f"it does not report the vulnerabilities of {_VULNERABLE}")
    return _ask(program, source, str(ROOT / "constraints.txt"))


def _ask(program: Path, source: str, pins: str) -> list[dict[str, Any]]:
    options = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "5")
    done = _run(program, "--requirement", pins, "--vulnerability-service", source, *options, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        raise NotAudited(_last_line(done.stderr)) from None
    if skipped := [each["name"] for each in packages if "skip_reason" in each]:
        raise NotAudited(f"it does not know {skipped[0]}")
    return packages


def _run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=check)
    except subprocess.TimeoutExpired:
        raise NotAudited(f"it takes longer than {_TIMEOUT_S} seconds") from None
    except subprocess.CalledProcessError as error:
        raise NotAudited(_last_line(error.stderr)) from None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it fails without a message"])[-1][:120]


def _described(package: dict[str, Any]) -> str:
    return ", ".join(
        f"{each['id']} (fixed in {' or '.join(each['fix_versions']) or 'no version'})" for each in package["vulns"]
    )


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
