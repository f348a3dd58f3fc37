"""The shipped unit and composition."""

import configparser
import tomllib
from pathlib import Path

import pytest
import yaml
from support.documents import ROOT

from clusterm.settings import Settings

UNIT = ROOT / "src" / "clusterm" / "installation" / "files" / "clusterm.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
    parser.read_string(UNIT.read_text())
    return parser


def test_systemd_leaves_jobs_alone(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_what_compose_needs_is_there() -> None:
    directory = ROOT / "deploy"
    composition = yaml.safe_load((directory / "compose.yaml").read_text())
    services = composition["services"]
    for name, service in services.items():
        assert (directory / service["build"] / "Dockerfile").is_file(), name
        assert set(service.get("depends_on", ())) <= set(services), name
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert (directory / source).is_dir() if source.startswith(".") else source in composition["volumes"], name


def test_the_configuration_in_compose_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    composition = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    for name, value in composition["services"]["clusterm"]["environment"].items():
        monkeypatch.setenv(name, value)
    assert Settings().ansible.priv_key_file == "/keys/id_ed25519"


def test_what_the_wheel_is_made_of_gets_into_the_image() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    folders = {Path(name).parts[0] for name in (*wheel["only-include"], *wheel["shared-data"])}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert folders <= let_through
