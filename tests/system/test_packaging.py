"""What is shipped beside the Python packages, and how they are shipped."""

import configparser
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from support.documents import DOCS, ROOT
from support.requirements import requires
from support.service import BIN, WAIT_TIMEOUT_S, wait_for

from clusterm.settings import ManagerSettings

FILES = ROOT / "src" / "clusterm" / "installation" / "files"
UNIT = FILES / "clusterm.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
    parser.read_string(UNIT.read_text())
    return parser


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


def test_the_unit_limits_resources_as_its_documentation_says(unit: configparser.ConfigParser) -> None:
    text = (DOCS / "how-to" / "run-under-systemd.md").read_text()
    documented = dict(re.findall(r"^\| `(MemoryMax|TasksMax|Limit\w+)` \| (\d+)", text, re.MULTILINE))
    assert documented == {name: unit["Service"][name].rstrip("%") for name in documented}
    assert set(documented) == {"MemoryMax", "TasksMax", "LimitNOFILE", "LimitCORE"}
    assert int(documented["LimitNOFILE"]) > 2 * ManagerSettings().max_connections


@requires("systemd-sysusers", "systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_user_and_directories_are_made(unit: configparser.ConfigParser, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program, *arguments in (("systemd-sysusers",), ("systemd-tmpfiles", "--create")):
        file = FILES / f"{program.removeprefix('systemd-')}.conf"
        subprocess.run([program, f"--root={tmp_path}", *arguments, str(file)], capture_output=True, check=True)
    users = [line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
    uid, home = next((int(user[2]), user[5]) for user in users if user[0] == unit["Service"]["User"])
    state_dir = Path("/var/lib") / unit["Service"]["StateDirectory"]
    assert home == str(state_dir)
    for directory, mode in ((state_dir, 0o700), (state_dir / ".ssh", 0o700), (Path("/etc/clusterm/playbooks"), 0o755)):
        found = (tmp_path / directory.relative_to("/")).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (uid if mode == 0o700 else 0, mode)


# Manual pages and completions


@requires("mandoc")
def test_the_manual_pages_are_well_formed() -> None:
    pages = sorted((ROOT / "packaging" / "man").iterdir())
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
    assert [page.name for page in pages] == ["clusterctl.1", "clusterm.1", "clusterm.toml.5"]


def test_bash_completes_with_the_shipped_file(tmp_path: Path) -> None:
    file = ROOT / "packaging" / "completions" / "clusterctl.bash"
    script = f"""
    source {file}
    COMP_WORDS=(clusterctl time) COMP_CWORD=1
    _clusterctl_completion {BIN / "clusterctl"}
    echo "${{COMPREPLY[@]}}"
    """
    assert run("bash", "-c", script) == "timeline\n"


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built out of this source tree."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT)
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
    # Executors of 0.1.0 look for these at their old place.
    kept = ("callback_plugins", "playbooks")
    wanted |= {
        f"clusterm/executor/{folder}/{file.name}"
        for folder in kept
        for file in (ROOT / "src" / "clusterm" / "ansible" / folder).iterdir()
        if file.is_file()
    }
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted |= {f"{wheel.name.partition('-py3')[0]}.data/data/{place}" for place in data["shared-data"].values()}
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
        (migrated,) = (line for line in log.read_text().splitlines() if "the database was migrated from empty" in line)
        assert migrated.startswith("<6>")
    finally:
        service.terminate()
        assert service.wait(WAIT_TIMEOUT_S) == 0


def test_a_wheel_brings_both_commands_and_the_migrations(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    [site_packages] = environment.glob("lib/python*/site-packages")
    # The dependencies are those of the Python that runs this test; its own clusterm comes after the wheel's.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("CLUSTERM_MANAGER__STATE_DIR", str(tmp_path))
    run(environment / "bin" / "clusterm", "migrate")

    assert (tmp_path / "clusterm.db").stat().st_size > 0
    assert "timeline" in run(environment / "bin" / "clusterctl", "--help")


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
