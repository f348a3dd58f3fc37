"""What surrounds the code: the pinned packages, the wheel, the lists in CONTRIBUTING.md."""

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from support.requirements import path_of, requires

ROOT = Path(__file__).parents[2]
SOURCES = (".ci", "benchmarks", "docs", "migrations", "scripts", "src", "tests")


def test_every_installed_package_is_pinned_and_no_other() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {(canonicalize_name(name), version) for name, version in (pin.split("==") for pin in pins)}
    installed = {(canonicalize_name(package.name), package.version) for package in distributions()}

    # setuptools comes with the virtual environments of Python 3.11; nothing here uses it.
    installed = {(name, version) for name, version in installed if name not in {"clusterm", "setuptools"}}

    assert installed == pinned, "after a change of dependencies: make constraints; else: make clean"


def test_a_wheel_brings_both_commands_and_the_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    [wheel] = tmp_path.glob("*.whl")
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    [site_packages] = venv.glob("lib/python*/site-packages")
    # The dependencies are those of the Python that runs this test; its own clusterm comes after the wheel's.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("CLUSTERM_MANAGER__STATE_DIR", str(tmp_path))
    run(venv / "bin" / "clusterm", "migrate")

    assert (tmp_path / "clusterm.db").stat().st_size > 0
    assert "timeline" in run(venv / "bin" / "clusterctl", "--help")


def test_no_file_says_where_packages_come_from() -> None:
    """The machine does: behind a firewall, its mirror is the only one that can be reached."""
    mirror = re.compile(rb"pypi[.]org|pythonhosted[.]org|npmjs[.]org|debian[.]org|index[-]url")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for source in SOURCES for path in (ROOT / source).rglob("*") if path.is_file()]

    assert [path for path in files if mirror.search(path.read_bytes())] == []


def test_contributing_explains_every_make_target() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert "demo" in targets
    assert [target for target in targets if f"`make {target}" not in contributing()] == []


def test_contributing_explains_every_debian_package_that_ci_installs() -> None:
    [install] = re.findall(r"apt-get install (?:.*\\\n)+", (ROOT / ".ci/run").read_text())
    packages = re.findall(r"^ {4}([a-z0-9-]+) ", install, re.MULTILINE)

    assert "python3-venv" in packages
    assert [package for package in packages if f"| `{package}` |" not in contributing()] == []


@pytest.mark.parametrize(("ci", "skipped"), [(None, True), ("true", False)])
def test_a_missing_program_skips_a_test_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, skipped: bool
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", ci)

    assert requires("sh", "no-such-program").args == (skipped,)
    assert requires("sh").args == (False,)


def test_the_path_of_a_program() -> None:
    assert path_of("sh") == shutil.which("sh")
    assert path_of("no-such-program") == "no-such-program"


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def contributing() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text()
