"""Completion on the command line, asked for as the shells do, and once by a real bash."""

import os
import pty
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm


@pytest.fixture(scope="module")
def clusterm(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with two nodes, and a job on the first."""
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.config["ansible"]["host_groups"] = {
        "service-master": "master",
        "service-worker": "worker",
        "gpu-worker": "worker",
    }
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a", "node2-b")
    module_clusterm.run("commission", ["node1-a"])
    return module_clusterm


def completed(url: str, line: str) -> list[str]:
    """Return what bash is offered for the last word of a line; nothing else may be printed."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_CLUSTERCTL_COMPLETE": "complete_bash"}
    return _asked(url, words).split("\n")[:-1]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("node get ", ["node1-a", "node2-b"]),
        ("node get node2", ["node2-b"]),
        ("node events x", [""]),
        ("nodes get ", ["node1-a", "node2-b"]),
        ("nodes commission node1-a ", ["node2-b"]),
        ("n u ", ["node1-a", "node2-b"]),
        ("nodes commission node2-b --host-group ", ["service-master", "service-worker", "gpu-worker"]),
        ("nodes update node2-b -g service-w", ["service-worker"]),
        ("timeline --node=node1", ["node1-a"]),
        ("job list --node ", ["node1-a", "node2-b"]),
        ("job get ", ["active", "last", "good", "1"]),
        ("job logs --follow l", ["last"]),
        ("job retry 1", ["1"]),
        ("--version node get ", ["node1-a", "node2-b"]),
        ("job c", ["cancel"]),
    ],
)
def test_names_come_from_the_service(clusterm: Clusterm, line: str, offered: list[str]) -> None:
    assert completed(str(clusterm.http.base_url), f"clusterctl {line}") == offered


def test_the_line_says_which_service(clusterm: Clusterm) -> None:
    url = clusterm.http.base_url
    assert completed("127.0.0.1:1", f"clusterctl --url {url} node get node1") == ["node1-a"]
    assert completed(str(url), "clusterctl --url 127.0.0.1:1 node get node1") == [""]


def test_zsh_and_fish_show_what_a_candidate_is(clusterm: Clusterm) -> None:
    def offered(shell: str, line: str) -> str:
        words = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        return _asked(str(clusterm.http.base_url), words | {"_CLUSTERCTL_COMPLETE": f"complete_{shell}"})

    assert '"node1-a":"Allocated, Discovered"' in offered("zsh", "clusterctl node get ")
    assert "node2-b\tUnallocated, Discovered" in offered("fish", "clusterctl node get ").splitlines()
    about = "1\tComplete: commission node1-a as service-master"
    assert about in offered("fish", "clusterctl job get ").splitlines()


def test_no_service_no_word() -> None:
    assert completed("127.0.0.1:1", "clusterctl node get ") == [""]
    assert completed("%", "clusterctl node get ") == [""]
    assert completed("127.0.0.1:1", "clusterctl job get ") == ["active", "last", "good"]
    assert completed("127.0.0.1:1", "clusterctl node update -g ") == ["service-master", "service-worker"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert completed(f"127.0.0.1:{silent.getsockname()[1]}", "clusterctl job get ") == ["active", "last", "good"]


@pytest.mark.parametrize("answer", ["[]", '{"node1-a": 7}', '{"items": [{"id": "$(false)"}], "next": null}', "\udcff"])
def test_nothing_is_taken_from_what_is_not_clusterm(answer: str) -> None:
    with _answering(answer.encode(errors="surrogateescape")) as url:
        assert completed(url, "clusterctl node get ") == [""]
        assert completed(url, "clusterctl job get ") == ["active", "last", "good"]


def test_nothing_that_a_shell_would_run_is_offered(clusterm: Clusterm) -> None:
    hostile = clusterm.http.get("/info/nodes").text.replace('"node2-b"', r'"node2-$(touch x)"', 1)
    assert "touch" in hostile
    with _answering(hostile.encode()) as url:
        assert completed(url, "clusterctl node get ") == ["node1-a"]


def test_a_real_bash(clusterm: Clusterm, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("PS1='ready''> '\nbind 'set enable-bracketed-paste off'\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BASH")},
        "HOME": str(tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "CLUSTERM_URL": str(clusterm.http.base_url),
        "TERM": "dumb",
    }
    ours, its = pty.openpty()
    shell = subprocess.Popen(["bash", "-i"], stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True)
    os.close(its)
    stopwatch = threading.Timer(WAIT_TIMEOUT_S, shell.kill)
    stopwatch.start()
    try:
        _read_until(ours, r"ready> ")
        os.write(ours, b"clusterctl --install-completion\n")
        _read_until(ours, r"bash completion installed.*ready> ")
        os.write(ours, b"exec bash -i\n")
        _read_until(ours, r"\nready> ")
        os.write(ours, b"clusterctl node get node1\t")
        _read_until(ours, r"node1-a ")
        os.write(ours, b"\n")
        assert "Allocated" in _read_until(ours, r"ready> ")
        os.write(ours, b"exit\n")
        assert shell.wait(WAIT_TIMEOUT_S) == 0
    finally:
        stopwatch.cancel()
        shell.kill()
        shell.wait()
        os.close(ours)


def _asked(url: str, words: dict[str, str]) -> str:
    environment = {**os.environ, "CLUSTERM_URL": url, **words}
    done = subprocess.run(
        [BIN / "clusterctl"], capture_output=True, text=True, env=environment, timeout=WAIT_TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def _answering(body: bytes) -> Iterator[str]:
    """Run a service that gives the same answer to every question, and yield where it is."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _read_until(terminal: int, pattern: str) -> str:
    """Read what the shell writes until it matches."""
    read = b""
    while not re.search(pattern, read.decode(errors="replace"), re.DOTALL):
        try:
            more = os.read(terminal, 4096)
        except OSError:  # the shell is gone
            more = b""
        assert more, f"the shell ended; it wrote {read!r}"
        read += more
    return read.decode(errors="replace")
