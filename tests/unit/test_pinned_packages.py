"""The installed packages are those of constraints.txt."""

from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_every_installed_package_is_pinned_and_no_other() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {(canonicalize_name(name), version) for name, version in (pin.split("==") for pin in pins)}
    installed = {(canonicalize_name(package.name), package.version) for package in distributions()}

    # setuptools comes with the virtual environments of Python 3.11; nothing here uses it.
    installed = {(name, version) for name, version in installed if name not in {"clusterm", "setuptools"}}

    assert installed == pinned, "after a change of dependencies: make constraints; else: make clean"
