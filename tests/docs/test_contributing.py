"""The lists in CONTRIBUTING.md, and that no file names a package index."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (".ci", "benchmarks", "docs", "migrations", "scripts", "src", "tests")


def test_no_file_says_where_packages_come_from() -> None:
    """The machine does: behind a firewall, its mirror is the only one that can be reached."""
    mirror = re.compile(rb"pypi[.]org|pythonhosted[.]org|npmjs[.]org|debian[.]org|index[-]url")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for source in SOURCES for path in (ROOT / source).rglob("*") if path.is_file()]

    assert [path for path in files if mirror.search(path.read_bytes())] == []


def test_contributing_explains_every_make_target() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert "demo" in targets
    assert [target for target in targets if f"`make {target}" not in contributing()] == []


def test_contributing_explains_every_debian_package_that_ci_installs() -> None:
    [install] = re.findall(r"apt-get install (?:.*\\\n)+", (ROOT / ".ci/run").read_text())
    packages = re.findall(r"^ {4}([a-z0-9-]+) ", install, re.MULTILINE)

    assert "python3-venv" in packages
    assert [package for package in packages if f"| `{package}` |" not in contributing()] == []


def contributing() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text()
