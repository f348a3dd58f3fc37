"""What is shipped beside the Python packages, and how they are shipped."""

import configparser
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from support.documents import DOCS, ROOT
from support.requirements import requires
from support.service import BIN, WAIT_TIMEOUT_S, wait_for

from clusterm.settings import Settings

PACKAGING = ROOT / "packaging"
UNIT = PACKAGING / "clusterm.service"


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


@requires("systemd-analyze")
def test_systemd_accepts_the_unit(unit: configparser.ConfigParser, tmp_path: Path) -> None:
    installed = UNIT.read_text().replace("/usr/local/bin/clusterm", str(BIN / "clusterm"))
    assert installed != UNIT.read_text()
    file = tmp_path / UNIT.name
    file.write_text(installed)
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@requires("systemd-analyze")
def test_the_unit_is_as_closed_as_its_documentation_says() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measured = re.search(r"Overall exposure level for clusterm\.service: ([\d.]+)", said)
    documented = re.search(r"exposure level\s+of ([\d.]+)", (DOCS / "how-to" / "run-under-systemd.md").read_text())
    assert measured
    assert documented
    assert abs(float(measured[1]) - float(documented[1])) < 0.5  # each systemd weighs a little differently


@requires("systemd-sysusers", "systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_user_and_directories_are_made(unit: configparser.ConfigParser, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program, *arguments in (("systemd-sysusers",), ("systemd-tmpfiles", "--create")):
        file = PACKAGING / f"{program.removeprefix('systemd-')}.d" / "clusterm.conf"
        subprocess.run([program, f"--root={tmp_path}", *arguments, str(file)], capture_output=True, check=True)
    users = [line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
    uid, home = next((int(user[2]), user[5]) for user in users if user[0] == unit["Service"]["User"])
    state_dir = Path("/var/lib") / unit["Service"]["StateDirectory"]
    assert home == str(state_dir)
    for directory, mode in ((state_dir, 0o700), (state_dir / ".ssh", 0o700), (Path("/etc/clusterm/playbooks"), 0o755)):
        found = (tmp_path / directory.relative_to("/")).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (uid if mode == 0o700 else 0, mode)


def test_the_configuration_is_the_default_but_for_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    shipped = (PACKAGING / "clusterm.toml").read_text()
    default = Settings().model_dump()
    assert Settings(**tomllib.loads(shipped)).manager.state_dir == Path("/var/lib/clusterm")
    every = Settings(**tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", shipped, flags=re.MULTILINE))).model_dump()
    every["manager"]["state_dir"] = default["manager"]["state_dir"]
    assert every == default


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built out of this source tree."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", directory, ROOT], capture_output=True, check=True)
    (file,) = directory.iterdir()
    return file


def test_everything_is_in_the_wheel(wheel: Path) -> None:
    sources = {"src/": ROOT / "src", "clusterm/migrations/": ROOT / "migrations"}
    wanted = {
        prefix.removeprefix("src/") + str(file.relative_to(directory))
        for prefix, directory in sources.items()
        for file in directory.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in packed if ".dist-info/" not in name} == wanted


def test_an_installed_clusterm_runs(wheel: Path, tmp_path: Path) -> None:
    """Installed in an environment that has its dependencies from this one, as a download would take a minute."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    program = environment / "bin" / "clusterm"
    install = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--no-deps"]
    subprocess.run([*install, "--no-index", wheel], capture_output=True, check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert said == f"clusterm {wheel.name.split('-')[1]}\n"

    log = tmp_path / "log"
    with log.open("wb") as stream:
        file = os.fstat(stream.fileno())
        service = subprocess.Popen(
            [program, "serve"],
            stderr=stream,
            cwd=tmp_path,
            env={
                "CLUSTERM_MANAGER__ADDR": "127.0.0.1:0",
                "CLUSTERM_MANAGER__STATE_DIR": str(tmp_path / "state"),
                "JOURNAL_STREAM": f"{file.st_dev}:{file.st_ino}",  # as systemd says where its journal is
            },
        )
    try:
        wait_for(lambda: "clusterm listens on" in log.read_text() or service.poll() is not None, "the service")
        (migrated,) = (line for line in log.read_text().splitlines() if "the newest form, from empty" in line)
        assert migrated.startswith("<6>")
    finally:
        service.terminate()
        assert service.wait(WAIT_TIMEOUT_S) == 0


# Containers


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
