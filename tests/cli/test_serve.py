"""The commands as processes: how the service starts, what stops it from starting, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for


def environment(state_dir: Path, **variables: str) -> dict[str, str]:
    """Return an environment without settings but for the state directory, a free port, and the given ones."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}
    settings = {"STATE_DIR": str(state_dir), "ADDR": "127.0.0.1:0", "AUTH": "none"}
    return clean | {f"CLUSTERM_MANAGER__{name}": value for name, value in settings.items()} | variables


def run(*arguments: str | Path, env: dict[str, str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "clusterm", *arguments],
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )


def refuses(done: subprocess.CompletedProcess[str], *reasons: str) -> bool:
    """Check that a command said one line on stderr, and nothing else, and failed."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("clusterm: ")
    for reason in reasons:
        assert reason in done.stderr
    return True


# What stops it from starting


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", env=environment(tmp_path, CLUSTERM_MANAGER__ADDR=addr))
    assert refuses(done, addr, "in use", "manager.addr")


def test_an_address_that_is_not_of_this_machine(tmp_path: Path) -> None:
    addr = "192.0.2.1:9007"
    assert refuses(run("serve", env=environment(tmp_path, CLUSTERM_MANAGER__ADDR=addr)), addr, "manager.addr")


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_in_the_way_of_the_state_directory(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    state_dir = Path(f"{file}{below}")
    assert refuses(run("serve", env=environment(state_dir)), str(state_dir), "manager.state_dir")


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """/proc takes no files, not even root's."""
    assert refuses(run("serve", env=environment(Path("/proc/clusterm"))), "/proc/clusterm", "manager.state_dir")


def test_a_second_service_on_the_same_state_directory(clusterm: Clusterm) -> None:
    before = clusterm.dump()
    done = run("serve", env=environment(clusterm.state_dir))
    assert refuses(done, "another clusterm is running", str(clusterm.state_dir))
    assert clusterm.get("/readyz")["status"] == "ok"
    assert clusterm.dump() == before


def test_a_state_directory_is_free_again_after_the_service_was_killed(clusterm: Clusterm) -> None:
    clusterm.add_nodes("node1-a")
    clusterm.restart()
    assert set(clusterm.get("/info/nodes")) == {"node1-a"}


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ('{"ansible": {"usr": "ann"}}', ["ansible.usr"]),
        ('[retention]\ntimeline = "many"\n', ["retention.timeline"]),
        ("[manager\n", ["clusterm.conf", "neither JSON nor TOML"]),
        (None, ["clusterm.conf", "No such file"]),
    ],
)
def test_a_configuration_that_is_not_valid(tmp_path: Path, content: str | None, reasons: list[str]) -> None:
    file = tmp_path / "clusterm.conf"
    if content is not None:
        file.write_text(content)
    state_dir = tmp_path / "state"
    assert refuses(run("serve", "--config", file, env=environment(state_dir)), *reasons)
    assert not state_dir.exists()


def test_a_configuration_from_standard_input_that_is_not_valid(tmp_path: Path) -> None:
    assert refuses(run("serve", "--config", "-", env=environment(tmp_path), stdin="{"), "standard input")


@pytest.mark.parametrize("command", ["serve", "migrate", "healthcheck"])
def test_an_environment_that_is_not_valid(tmp_path: Path, command: str) -> None:
    env = environment(tmp_path, CLUSTERM_RETENTION__NODE_EVENTS="many")
    assert refuses(run(command, env=env), "retention.node_events")


@pytest.mark.parametrize("arguments", [["no-such-command"], ["serve", "--no-such-option"]])
def test_a_wrong_command_line(tmp_path: Path, arguments: list[str]) -> None:
    done = run(*arguments, env=environment(tmp_path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert arguments[-1] in done.stderr


# How it starts


def test_a_file_in_the_way_of_the_calls_of_executors_only_slows_followers_down(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.state_dir.mkdir(mode=0o700)
    in_the_way = new_clusterm.state_dir / "wake"
    in_the_way.write_text("mine")
    new_clusterm.start()
    new_clusterm.add_nodes("node1-a")

    assert new_clusterm.run("commission", ["node1-a"])["status"] == "Complete"
    assert in_the_way.read_text() == "mine"
    assert f"followers of logs wait longer for lines: {in_the_way} is in the way" in new_clusterm.log.read_text()


def test_a_start_loads_no_library_that_it_does_not_need() -> None:
    code = (
        "import clusterm.cli.main; from clusterm.common.lean_imports import leave_out_httpx_command_line as leave_out;"
        "leave_out(); import sys, clusterm.server.serve; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"uvicorn", "fastapi", "httpx"} <= set(loaded)
    assert {"alembic", "mako", "rich", "pygments", "schemathesis", "ansible"}.isdisjoint(loaded)


def test_it_makes_its_state_directory_for_itself_alone(new_clusterm: Clusterm) -> None:
    new_clusterm.finds_database = False
    new_clusterm.state_dir = new_clusterm.root / "not" / "there"
    new_clusterm.config["manager"]["state_dir"] = str(new_clusterm.state_dir)
    new_clusterm.start()
    assert new_clusterm.state_dir.stat().st_mode & 0o777 == 0o700
    assert (new_clusterm.state_dir / "clusterm.db").is_file()


class Served:
    """A service that was started by hand."""

    def __init__(self, arguments: list[str | Path], env: dict[str, str], log: Path, stdin: str | None = None) -> None:
        self._log = log
        with log.open("wb") as opened:
            self.process = subprocess.Popen(
                [BIN / "clusterm", "serve", *arguments],
                env=env,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stderr=opened,
            )
        if self.process.stdin is not None:
            self.process.stdin.write(str(stdin).encode())
            self.process.stdin.close()
        self.url = wait_for(self._look, "the service to listen")

    def config(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/config").json())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_TIMEOUT_S)

    def _look(self) -> str | None:
        assert self.process.poll() is None, self._log.read_text()
        said = self._log.read_text().partition("clusterm listens on ")[2]
        return said.split()[0] if said else None


JSON = '{"ansible": {"user": "ann", "priv_key_file": "/k"}}'
TOML = '[ansible]\nuser = "ann"\npriv_key_file = "/k"\n'


@pytest.mark.parametrize(("source", "text"), [("option", TOML), ("-", JSON), ("environment", JSON)])
def test_it_reads_its_configuration(tmp_path: Path, source: str, text: str) -> None:
    file = tmp_path / "clusterm.conf"
    file.write_text(text)
    env = environment(tmp_path / "state", CLUSTERM_ANSIBLE__USER="bob")
    arguments: list[str | Path] = ["--config", "-" if source == "-" else file]
    if source == "environment":
        env["CLUSTERM_CONFIG"] = str(file)
        arguments = []
    served = Served(arguments, env, tmp_path / "log", text if source == "-" else None)
    try:
        ansible = served.config()["ansible"]
        assert (ansible["user"], ansible["priv_key_file"]) == ("bob", "/k"), "the environment wins key by key"
    finally:
        served.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    env = environment(tmp_path / "state", CLUSTERM_MANAGER__ADDR="[::1]:0")
    served = Served([], env, tmp_path / "log")
    try:
        assert served.url.startswith("http://[::1]:")
        assert served.config()["manager"]["addr"] == "[::1]:0"
    finally:
        served.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_several_addresses(tmp_path: Path) -> None:
    path = tmp_path / "clusterm.sock"
    env = environment(tmp_path / "state", CLUSTERM_MANAGER__ADDR=f"[::]:0, unix:{path}")
    served = Served(["--insecure"], env, tmp_path / "log")
    try:
        assert f" and unix:{path} and " in (tmp_path / "log").read_text()
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{host}:{httpx.URL(served.url).port}/info/nodes").status_code == 200
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://any-name/info/nodes").status_code == 200
    finally:
        served.stop()
    assert not path.exists()


# How it stops


def stops_with(clusterm: Clusterm, number: int) -> bool:
    """Send a signal, and tell whether the service ended as a program should that was asked to."""
    assert clusterm.process is not None
    clusterm.process.send_signal(number)
    status = clusterm.process.wait(WAIT_TIMEOUT_S)
    assert "Traceback" not in clusterm.log.read_text()
    return status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_stops_when_told_to(clusterm: Clusterm, number: int) -> None:
    assert stops_with(clusterm, number)
    assert list(clusterm.state_dir.glob("*-wal")) == [], "the database was closed in good order"


@pytest.mark.timeout(60)
def test_it_stops_in_seconds_while_followers_are_connected_and_leaves_the_job_alone(
    new_clusterm: Clusterm, tmp_path: Path
) -> None:
    """Uvicorn would wait for the followers; the test's own limit is far below a job's half hour."""
    gate = tmp_path / "gate"
    new_clusterm.use_program(SCRIPTED)
    clusterm = new_clusterm.start()
    job = clusterm.begin("discover", ["127.0.9.9"], extra_vars={"until": str(gate), "lines": 100})
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] == 101, "the job's lines")
    connected = threading.Barrier(11)
    received = []

    def follow() -> None:
        url = f"{clusterm.http.base_url}/info/logs/active"
        with httpx.stream("GET", url, timeout=WAIT_TIMEOUT_S) as response:
            pieces = response.iter_text()
            first = next(pieces)
            connected.wait(WAIT_TIMEOUT_S)
            received.append(first + "".join(pieces))

    followers = [threading.Thread(target=follow) for _ in range(10)]
    for follower in followers:
        follower.start()
    connected.wait(WAIT_TIMEOUT_S)
    running = clusterm.processes()
    clusterm.stop()
    assert "Traceback" not in clusterm.log.read_text()
    for follower in followers:
        follower.join()
    assert [text.count("\n") for text in received] == [101] * 10, "each was let go in good order"
    assert len(running) >= 3
    assert all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in running)

    gate.touch()
    wait_for(lambda: not clusterm.processes(), "the job to end without the service")
    clusterm.start()
    assert clusterm.job(job["id"])["status"] == "Complete"


# Other commands


def test_version(tmp_path: Path) -> None:
    done = run("--version", env=environment(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"clusterm {version('clusterm')}\n", "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "--help"]])
def test_help_says_what_there_is(tmp_path: Path, arguments: list[str]) -> None:
    done = run(*arguments, env=environment(tmp_path))
    said = done.stdout + done.stderr
    assert done.returncode == (0 if arguments else 2)
    assert "Usage: clusterm" in said
    assert ("--config" if "serve" in arguments else "healthcheck") in said


def test_healthcheck_says_how_the_service_is(new_clusterm: Clusterm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        addr = f"127.0.0.1:{free.getsockname()[1]}"
    env = environment(new_clusterm.state_dir, CLUSTERM_MANAGER__ADDR=addr)
    assert refuses(run("healthcheck", env=env), addr)

    new_clusterm.config["manager"]["addr"] = addr
    new_clusterm.use_program("")
    new_clusterm.start()
    done = run("healthcheck", env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")

    (new_clusterm.root / "program").unlink()
    assert refuses(run("healthcheck", env=env), addr)


def test_healthcheck_takes_the_service_s_own_configuration(clusterm: Clusterm) -> None:
    config = {
        **clusterm.config,
        "manager": {**clusterm.config["manager"], "addr": clusterm.http.base_url.netloc.decode()},
    }
    file = clusterm.root / "other.json"
    file.write_text(json.dumps(config))
    done = run("healthcheck", "--config", file, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_hangups_while_it_starts_are_served_later(tmp_path: Path) -> None:
    """systemd and logrotate send SIGHUP whenever they want to."""
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen([BIN / "clusterm", "serve"], env=environment(tmp_path / "state"), stderr=output) as service,
    ):
        status = Path(f"/proc/{service.pid}/status")
        wait_for(lambda: _blocked(status.read_text()) & 1 << (signal.SIGHUP - 1), "the service to begin")
        while "listens on" not in log.read_text():
            service.send_signal(signal.SIGHUP)
            assert service.poll() is None, log.read_text()
        wait_for(lambda: "the configuration was read again" in log.read_text(), "the reload")
        service.terminate()
        assert service.wait(WAIT_TIMEOUT_S) == 0


def _blocked(status: str) -> int:
    """Return the mask of blocked signals in /proc/PID/status, proc(5)."""
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:")]
    return int(mask, 16)
