"""Output that breaks others, on its way from a program to whoever reads the log."""

import contextlib
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from support.service import WAIT_TIMEOUT_S, Clusterm, kill_all, wait_for

from clusterm.executor.output.parser import MAX_LINE_BYTES


def run(clusterm: Clusterm, program: str) -> dict[str, Any]:
    """Run a program as a job, to its end."""
    clusterm.use_program(program)
    clusterm.start()
    clusterm.add_nodes("a-1")
    job = clusterm.run("decommission", ["a-1"])
    assert job["status"] == "Complete", job["error"]
    return job


def text(clusterm: Clusterm, job: dict[str, Any]) -> str:
    """Return a job's log as text."""
    return clusterm.http.get(f"/info/logs/{job['id']}").text


def rows(clusterm: Clusterm, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a job's log as objects."""
    answer = clusterm.http.get(f"/info/logs/{job['id']}", headers={"Accept": "application/x-ndjson"})
    return [json.loads(row) for row in answer.content.split(b"\n")[:-1]]


def test_line_of_10_mb_is_kept_in_parts(new_clusterm: Clusterm) -> None:
    job = run(
        new_clusterm,
        """
        print("before")
        print("".join(f"{number:09} " for number in range(1_000_000)))
        print("after")
        """,
    )
    long = "".join(f"{number:09} " for number in range(1_000_000))
    assert job["logs"] == ["before", long, "after"]
    assert text(new_clusterm, job) == f"before\n{long}\nafter\n"
    stored = rows(new_clusterm, job)
    assert job["lines"] == len(stored)
    assert [row["seq"] for row in stored] == list(range(1, len(stored) + 1))
    assert [row["text"] for row in stored if not row["partial"]] == ["before", stored[-2]["text"], "after"]
    assert max(len(row["text"]) for row in stored) <= MAX_LINE_BYTES
    assert new_clusterm.clusterctl("job", "logs", "last").stdout == f"before\n{long}\nafter\n"


LINES = {
    b"": "",
    b"plain": "plain",
    b"a\0b": "a\\x00b",
    b"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7": "café € 🐧",
    b"latin-1 caf\xe9": "latin-1 caf\\xe9",
    b"torn \xf0\x9f": "torn \\xf0\\x9f",
    b"surrogate \xed\xa0\x80": "surrogate \\xed\\xa0\\x80",
    b"\x1b[0;32mok: [a-1]\x1b[0m": "\x1b[0;32mok: [a-1]\x1b[0m",
    b" 10%\r 55%\r100%": " 10%\r 55%\r100%",
    b"windows\r": "windows",
    b"\x1e0123456789abcdef {}": "\x1e0123456789abcdef {}",
    b"\x1e\x1e": "\x1e\x1e",
    b"no\xc2\x85newline, \xe2\x80\xa8none and \x0cnone": "no\x85newline, \u2028none and \x0cnone",
    b"\xef\xbb\xbfmark": "\ufeffmark",
}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"", []),
        (b"\n\nno newline at the end", ["", "", "no newline at the end"]),
        (b"".join(line + b"\n" for line in LINES), list(LINES.values())),
    ],
    ids=["nothing", "unfinished", "strange"],
)
def test_what_is_kept_of_what_is_written(running: Clusterm, written: bytes, kept: list[str]) -> None:
    (running.playbooks / "written").write_bytes(written)
    node = f"a-{len(running.get('/info/nodes'))}"
    running.add_nodes(node)
    job = running.run("decommission", [node])
    assert job["status"] == "Complete"
    assert job["logs"] == kept
    assert [row["text"] for row in rows(running, job)] == kept
    assert text(running, job) == "".join(f"{line}\n" for line in kept)
    assert job["log_incomplete"] is False


def test_clusterctl_takes_nothing_but_newlines_for_the_ends_of_lines(running: Clusterm) -> None:
    (running.playbooks / "written").write_bytes("no\x85newline, \u2028none, \u2029none\n".encode())
    running.add_nodes("separators-1")
    job = running.run("decommission", ["separators-1"])
    shown = running.clusterctl("job", "logs", str(job["id"]))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == "no\x85newline, \u2028none, \u2029none\n"


def test_all_bytes_come_through(running: Clusterm) -> None:
    written = os.urandom(1_000_000)
    (running.playbooks / "written").write_bytes(written)
    running.add_nodes("random-1")
    job = running.run("decommission", ["random-1"])
    assert job["status"] == "Complete"
    parts = [line.removesuffix(b"\r") for line in written.split(b"\n")]
    expected = [part.decode(errors="backslashreplace").replace("\0", "\\x00") for part in parts]
    assert job["logs"] == (expected if expected[-1] else expected[:-1])


@pytest.fixture(scope="module")
def running(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm whose jobs write what stands in the file `written`."""
    module_clusterm.use_program(
        """
        import pathlib, sys
        sys.stdout.buffer.write(pathlib.Path("written").read_bytes())
        """
    )
    return module_clusterm.start()


def test_the_space_of_stored_output_is_returned_to_the_disk(new_clusterm: Clusterm) -> None:
    """Also if an executor that takes over reads on after the part that was returned."""
    new_clusterm.use_program(
        """
        import pathlib, time
        for number in range(1, 40_001):
            print(f"line {number}".ljust(200, "."), flush=number % 10 == 0)
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        print("line 40001")
        """
    )
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    job = clusterm.begin("decommission", ["a-1"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] == 40_000, "all lines")
    step = clusterm.state_dir / "jobs" / str(job["id"]) / "1-cleanup"
    sizes = {name: (step / name).stat() for name in ("output", "times")}
    assert sizes["output"].st_size == 40_000 * 201
    assert sizes["output"].st_blocks * 512 < 4_000_000
    assert sizes["times"].st_blocks * 512 < sizes["times"].st_size or sizes["times"].st_size < 8192
    kill_all(clusterm.executors())
    wait_for(clusterm.executors, "another executor")
    (clusterm.playbooks / "go").touch()
    ended = clusterm.ended(job)
    assert [line.rstrip(".") for line in ended["logs"]] == [f"line {number}" for number in range(1, 40_002)]
    times = [row["at"] for row in rows(clusterm, job)]
    assert times == sorted(times)
    assert times[0][:4] != "1970"


# Grandchildren

LEAVES_A_GRANDCHILD = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", {program!r}], start_new_session=True)
print(grandchild.pid, time.time(), flush=True)
"""


@pytest.mark.parametrize(
    "program",
    [
        "import time; time.sleep(3333)",
        "while True: print('x' * 100)",
        "import time\nwhile True: print('tick', flush=True); time.sleep(0.01)",
    ],
    ids=["silent", "endless", "ticking"],
)
def test_grandchild_that_keeps_stdout_open_does_not_hold_up_the_job(new_clusterm: Clusterm, program: str) -> None:
    job = run(new_clusterm, LEAVES_A_GRANDCHILD.format(program=program))
    pid, ended = job["logs"][0].split()
    left = psutil.Process(int(pid))
    assert left.is_running(), "what a playbook leaves running is its own affair"
    left.kill()
    took = datetime.fromisoformat(job["finished_at"]) - datetime.fromtimestamp(float(ended), UTC)
    assert took < timedelta(seconds=WAIT_TIMEOUT_S), "the grandchild would live for an hour"
    wait_for(lambda: not new_clusterm.processes(), "the job's own processes to end")


# Followers


def test_follower_that_stops_reading_holds_nobody_up(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(
        """
        import pathlib, sys, time
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        for number in range(1, 80_001):
            print(f"line {number}".ljust(250, "."))
        """
    )
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    job = clusterm.begin("decommission", ["a-1"])
    path = f"/info/logs/{job['id']}?follow=true"
    url = clusterm.http.base_url
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stuck = stack.enter_context(socket.socket())
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect((url.host, url.port))
            stuck.sendall(f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
        with clusterm.http.stream("GET", path, timeout=WAIT_TIMEOUT_S) as following:
            (clusterm.playbooks / "go").touch()
            lines = list(following.iter_lines())
        assert [line.rstrip(".") for line in lines] == [f"line {number}" for number in range(1, 80_001)]
        assert clusterm.ended(job)["status"] == "Complete"
        assert clusterm.stop() == 0
