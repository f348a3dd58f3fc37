"""What is shipped beside the Python packages."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import BIN
from documents import ROOT

UNIT = ROOT / "packaging" / "clusterm.service"


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


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze not found")
def test_systemd_accepts_the_unit(unit: configparser.ConfigParser, tmp_path: Path) -> None:
    installed = UNIT.read_text().replace("/usr/local/bin/clusterm", str(BIN / "clusterm"))
    assert installed != UNIT.read_text()
    file = tmp_path / UNIT.name
    file.write_text(installed)
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
