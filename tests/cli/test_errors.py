"""Error messages and exit codes of clusterctl where no service answers, and what a start imports."""

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.factories import FOREIGN


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables that change what clusterctl prints."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def clusterctl(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}
    command = [sys.executable, "-m", "clusterctl", *args]
    return subprocess.run(command, env=env | environment, capture_output=True, text=True, check=False)


def error_of(run: subprocess.CompletedProcess[str]) -> str:
    assert run.stdout == ""
    [line] = run.stderr.splitlines()
    assert line.startswith("clusterctl: ")
    return line


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        (["--url", "nonsense://", "nodes", "get"], "--url"),
        (["node"], "clusterctl node --help"),
        (["node", "gte", "x"], "'get'"),
        (["nodes", "get", "--bogus"], "clusterctl nodes get --help"),
        (["node", "get"], "clusterctl node get --help"),
        (["node", "commission", "a", "-e", "[]"], "--extra-vars"),
        (["node", "update", "a", "--job-timeout", "soon"], "30m"),
        (["discover", "a", "--idle-timeout", "-1"], "30m"),
        (["job", "cancel", "newest"], "job list"),
        (["job", "wait", "--timeout", "5 m"], "30m"),
        (["global", "set"], "-e '{}'"),
        (["config", "set", "/absent"], "/absent"),
        (["job", "get", "first"], "job list"),
        (["job", "list", "--status", "Happy"], "complete"),
        (["timeline", "-n", "0"], "clusterctl timeline --help"),
        (["timeline", "--since", "whenever"], "2h"),
        (["-o", "xml", "timeline"], "jsonl"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(args: list[str], advice: str) -> None:
    run = clusterctl(*args)

    assert advice in error_of(run)
    assert run.returncode == 2


@pytest.mark.parametrize(
    "args", [["timeline"], ["job", "get", "--follow"], ["discover", "10.0.0.1", "--wait"], ["job", "retry"]]
)
def test_a_service_that_is_not_there_is_one_line_and_exit_3(args: list[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, but not listening
        url = f"127.0.0.1:{closed.getsockname()[1]}"
        run = clusterctl(*args, CLUSTERM_URL=url, http_proxy="http://127.0.0.1:1")

    assert f"cannot reach clusterm at http://{url} " in error_of(run)
    assert run.returncode == 3


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b"{"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"\xff"),
        (302, "text/html", b""),
        (404, "application/json", b"{}"),
        (502, "text/html", b"<html>"),
    ],
)
def test_a_service_that_is_something_else_is_one_line_and_exit_3(status: int, content_type: str, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        run = clusterctl("--url", url, "nodes", "get", "--json")
        thread.join()

    assert f"{url} does not look like clusterm" in error_of(run)
    assert run.returncode == 3


def test_an_answer_of_an_unknown_shape_is_printed_before_it_is_an_error() -> None:
    class Newer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(FOREIGN).encode())

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Newer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        run = clusterctl("--url", f"http://127.0.0.1:{server.server_port}", "timeline", "--json")
        thread.join()

    assert json.loads(run.stdout) == FOREIGN
    assert run.stderr.startswith("clusterctl: ")
    assert run.returncode == 1


def test_an_output_that_cannot_be_written_is_one_line_and_exit_1() -> None:
    command = [sys.executable, "-m", "clusterctl", "--version"]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert run.stderr == "clusterctl: cannot print the result: No space left on device\n"
    assert run.returncode == 1


SLOW = {"pydantic", "httpx", "rich", "asyncio", "ssl", "click", "yaml"}
"""Packages that take longer to load than the rest of most commands."""


def loaded(*args: str, **environment: str) -> set[str]:
    """Return the modules that a run of clusterctl has loaded at its end."""
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from clusterctl.__main__ import main; sys.exit(main())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *args], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return set(run.stderr.splitlines()[-1].split())


def test_it_loads_nothing_of_the_service() -> None:
    modules = loaded("--help")

    assert modules.isdisjoint({"sqlmodel", "sqlalchemy", "fastapi", "starlette", "pydantic_settings"})
    assert {name for name in modules if name.startswith("clusterm.")} == {
        "clusterm.common",
        "clusterm.common.files",
        "clusterm.common.lean_imports",
        "clusterm.common.paths",
        "clusterm.common.standard_streams",
        "clusterm.common.timestamps",
    }


@pytest.mark.parametrize("args", [["--help"], ["nodes", "get", "--help"], ["job", "--help"], ["timeline", "--help"]])
def test_help_loads_no_slow_package(args: list[str]) -> None:
    assert loaded(*args).isdisjoint(SLOW)


@pytest.mark.parametrize("line", ["clusterctl no", "clusterctl job c", "clusterctl nodes get --sta"])
def test_completion_of_commands_and_options_loads_no_slow_package(line: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_CLUSTERCTL_COMPLETE": "complete_bash"}
    assert loaded(**words).isdisjoint(SLOW)


@pytest.mark.parametrize("args", [["nodes", "get", "--json"], ["timeline"], ["job", "get", "last", "-o", "yaml"]])
def test_a_request_loads_neither_models_nor_tables(args: list[str]) -> None:
    modules = loaded("--url", "127.0.0.1:1", *args)

    assert "httpx" in modules
    assert modules.isdisjoint({"pydantic", "rich", "asyncio", "click", "sqlalchemy", "fastapi"})


def test_completion_of_names_loads_neither_models_nor_tables() -> None:
    words = {"COMP_WORDS": "clusterctl job get ", "COMP_CWORD": "3", "_CLUSTERCTL_COMPLETE": "complete_bash"}
    modules = loaded(**words, CLUSTERM_URL="127.0.0.1:1")

    assert "httpx" in modules
    assert modules.isdisjoint({"pydantic", "rich", "asyncio", "click"})
