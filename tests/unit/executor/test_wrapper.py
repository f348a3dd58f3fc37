"""A wrapper whose output nobody reads, or whose output has a part that was released."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.service import wait_for

from clusterm.executor import wrapper
from clusterm.executor.output.space import release_space

LIMIT = 200_000
LINES = b"".join(b"%09d\n" % number for number in range(100_000))
MARK = b"[clusterm: %d bytes of output are missing here: more than %d bytes were waiting to be read]\n"

FLOOD = """
import pathlib, sys, time
for number in range(100_000):
    print(f"{number:09}")
sys.stdout.flush()
pathlib.Path(sys.argv[1] + ".awaited").touch()
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("after")
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file for which the program waits when it has written a megabyte."""
    return tmp_path / "gate"


def start(directory: Path, gate: Path) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-c", FLOOD, str(gate)]
    return subprocess.Popen([sys.executable, wrapper.__file__, str(directory), "1", str(LIMIT), *program])


def record(directory: Path, name: str) -> dict[str, Any]:
    text = (directory / name).read_text().strip() if (directory / name).exists() else ""
    return dict(json.loads(text or "{}"))


def is_losing(directory: Path) -> bool:
    return bool(record(directory, "started").get("losing"))


def test_unread_output_is_limited_and_the_loss_is_said(tmp_path: Path, gate: Path) -> None:
    running = start(tmp_path, gate)
    gate.touch()
    assert running.wait() == 0
    output = (tmp_path / "output").read_bytes()
    ended = record(tmp_path, "ended")
    assert ended["status"] == 0
    kept = len(LINES) + len(b"after\n") - ended["lost"]
    assert 0 < kept < LIMIT + 70_000
    newline = b"" if LINES[:kept].endswith(b"\n") else b"\n"
    assert output == LINES[:kept] + newline + MARK % (ended["lost"], LIMIT)


def test_output_goes_on_when_enough_is_read(tmp_path: Path, gate: Path) -> None:
    running = start(tmp_path, gate)
    wait_for(gate.with_name("gate.awaited").exists, "a megabyte to be written")
    output = tmp_path / "output"
    with output.open("r+b") as opened:
        release_space(opened.fileno(), output.stat().st_size)
    gate.touch()
    assert running.wait() == 0
    lost = record(tmp_path, "ended")["lost"]
    content = output.read_bytes()
    assert content.endswith(b"after\n")
    assert content.count(b"output are missing here") == 1
    assert lost + len(content) - len(MARK % (lost, LIMIT)) - len(LINES + b"after\n") in {0, 1}


def test_a_wrapper_that_takes_over_knows_why_output_was_lost(tmp_path: Path, gate: Path) -> None:
    running = start(tmp_path, gate)
    wait_for(lambda: is_losing(tmp_path), "the limit to be reached")
    running.kill()
    running.wait()
    successor = subprocess.Popen([sys.executable, wrapper.__file__, str(tmp_path), "1", str(LIMIT)])
    gate.touch()
    assert successor.wait() == 0
    assert record(tmp_path, "ended")["lost"] > 0
    assert b"[clusterm: lines of output are missing here: more than" in (tmp_path / "output").read_bytes()


@pytest.mark.parametrize("ends_before", [True, False])
def test_output_may_be_lost_with_the_pipe(tmp_path: Path, *, ends_before: bool) -> None:
    """When the last process that has a pipe open ends, the pipe loses what nobody has read."""
    program = "import time, sys; print('last words', flush=True); time.sleep(0 if sys.argv[1:] else 600)"
    command = [sys.executable, "-c", program, *(["end"] if ends_before else [])]
    running = subprocess.Popen([sys.executable, wrapper.__file__, str(tmp_path), "1", str(LIMIT), *command])
    wait_for(lambda: record(tmp_path, "started"), "the program")
    started = record(tmp_path, "started")
    if ends_before:
        running.wait()
        (tmp_path / "ended").unlink()  # as if the wrapper had been killed just before
    else:
        running.kill()
        running.wait()
    successor = subprocess.Popen([sys.executable, wrapper.__file__, str(tmp_path), "1", str(LIMIT)])
    if not ends_before:
        wait_for(lambda: record(tmp_path, "started")["wrapper"] != started["wrapper"], "the next wrapper")
        os.kill(started["process"]["pid"], signal.SIGKILL)
    assert successor.wait() == 0
    assert (record(tmp_path, "ended")["lost"] > 0) == ends_before


def test_an_executor_of_version_0_1_0_gives_no_limit(tmp_path: Path) -> None:
    """It may start the wrapper of this version, if the package is upgraded before the service is restarted."""
    program = [sys.executable, "-c", "print('x' * 1_000_000)"]
    assert subprocess.run([sys.executable, wrapper.__file__, str(tmp_path), "1", *program], check=False).returncode == 0
    assert (tmp_path / "output").stat().st_size == 1_000_001
    assert record(tmp_path, "ended") == {"status": 0, "lost": 0}
