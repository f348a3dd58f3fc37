"""Tutorials, followed to the letter: their files, their commands and what they print, with real sshd as machines."""

import doctest
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.documents import DOCS, Command, blocks, commands
from support.requirements import path_of, requires
from support.service import BIN, WAIT_TIMEOUT_S, wait_for
from support.ssh import make_keys, write_sshd_config

TUTORIAL = DOCS / "tutorial" / "two-machines.md"
ROLLING_UPDATE = DOCS / "tutorial" / "rolling-update.md"
MACHINES = ("192.168.1.11", "192.168.1.12")
LISTENS = "clusterm listens on "


class Reader:
    """Somebody who follows the tutorial, with a home directory of their own and a terminal for the service."""

    def __init__(self, home: Path, programs: Path) -> None:
        self._home = home
        self._directory = home
        self._terminal = home / "terminal"
        self._service: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._served: list[str] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CLUSTERM_", "ANSIBLE_"))},
            "HOME": str(home),
            "PATH": os.pathsep.join([str(programs), str(BIN), os.environ["PATH"]]),
            "CLUSTERM_MANAGER__ADDR": "127.0.0.1:0",
            "CLUSTERM_MANAGER__STATE_DIR": str(home / ".local" / "state" / "clusterm"),  # root has another default
            "CLUSTERM_MONITOR__PROBE": "false",  # only ssh finds the machines
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_PIPELINING": "1",  # without it ansible wants a terminal, which only root's sshd can give
            # Nothing goes to the real home directory, and no connection outlives the test.
            "ANSIBLE_REMOTE_TMP": str(home / "remote"),
            "ANSIBLE_SSH_ARGS": "",
            "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
        }

    def save(self, text: str) -> None:
        """Save a block that begins with a comment which names the file."""
        named = re.match(r"# (\S+): ", text)
        assert named, f"no file is named in {text!r}"
        (self._directory / named[1]).write_text(text)

    def type(self, command: Command) -> None:
        """Run a command, and check that it prints what the tutorial says."""
        words = command.line.split()
        if words[0] == "cd":
            self._directory /= words[1]
            printed = ""
        elif words[:2] == ["clusterm", "serve"]:
            self.stop()
            printed = self._serve(words)
            # It has the same port when it is started again.
            self._environment["CLUSTERM_MANAGER__ADDR"] = self._url.removeprefix("http://")
            self._served = words
        else:
            printed = subprocess.run(
                ["sh", "-c", command.line],
                cwd=self._directory,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=WAIT_TIMEOUT_S,
                check=False,
            ).stdout
        self._compare(command, printed)

    def type_and_restart(self, command: Command, begin: Callable[[], bool]) -> None:
        """Run a command, and restart the service as soon as `begin` returns True."""

        def restart() -> None:
            wait_for(begin, "the moment of the restart")
            self.stop()
            self._serve(self._served)

        restarting = threading.Thread(target=restart)
        restarting.start()
        try:
            self.type(command)
        finally:
            restarting.join()

    def stop(self) -> None:
        """Press Ctrl-C in the service's terminal."""
        if self._service is not None:
            self._service.send_signal(signal.SIGINT)
            self._service.wait(WAIT_TIMEOUT_S)

    def _serve(self, words: list[str]) -> str:
        with self._terminal.open("wb") as terminal:
            self._service = service = subprocess.Popen(
                words, cwd=self._directory, env=self._environment, stdout=terminal, stderr=terminal
            )

        def listens() -> bool:
            assert service.poll() is None, self._terminal.read_text()
            return re.search(f"{LISTENS}.*\n", self._terminal.read_text()) is not None

        wait_for(listens, "the service")
        printed = self._terminal.read_text()
        self._url = printed.partition(LISTENS)[2].split()[0]
        self._environment["CLUSTERM_URL"] = self._url
        return printed

    def _compare(self, command: Command, printed: str) -> None:
        for present, written in ((str(self._home), "/home/you"), (self._url, "http://127.0.0.1:9007")):
            printed = printed.replace(present, written) if present else printed
        wanted, printed = _timeless(command.output), _timeless(printed)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        checker = doctest.OutputChecker()
        if not checker.check_output(wanted, printed, flags):
            difference = checker.output_difference(doctest.Example(command.line, wanted), printed, flags)
            pytest.fail(f"$ {command.line}\n{difference}")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """An ssh that reaches two machines, each an sshd of its own with a home directory of its own.

    A new sshd answers each connection, at the other end of a pipe: nothing listens, and nothing is left behind.
    """
    directory = tmp_path / "machines"
    directory.mkdir()
    make_keys(directory)
    ssh_config = f"""
        Host *
        IdentityFile {directory}/user
        IdentitiesOnly yes
        UserKnownHostsFile {directory}/known_hosts
        StrictHostKeyChecking accept-new
        LogLevel ERROR
    """
    for machine in MACHINES:
        home = directory / machine
        home.mkdir()
        config = write_sshd_config(directory, machine, {"HOME": home})
        sshd = f"{path_of('sshd')} -i -f {config} -E {directory}/{machine}.log"
        ssh_config += f"\nHost {machine}\nProxyCommand {sshd}\n"
    (directory / "ssh_config").write_text(ssh_config)
    programs = directory / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {path_of("ssh")} -F {directory}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    return programs


@pytest.fixture
def reader(tmp_path: Path, programs: Path) -> Iterator[Reader]:
    home = tmp_path / "home"
    home.mkdir()
    reader = Reader(home, programs)
    yield reader
    reader.stop()


@requires("sshd", "ssh", "ssh-keygen")
@pytest.mark.timeout(300)
def test_the_tutorial_is_true(reader: Reader) -> None:
    follow(reader, TUTORIAL)


@pytest.mark.timeout(300)
def test_the_tutorial_of_a_rolling_update_is_true(tmp_path: Path) -> None:
    reader = Reader(tmp_path, tmp_path / "bin")
    version = tmp_path / "rolling" / "nodes" / "node-2" / "version"
    try:
        follow(reader, ROLLING_UPDATE, restart=lambda: version.exists() and version.read_text() == "2.1\n")
    finally:
        reader.stop()


def follow(reader: Reader, tutorial: Path, restart: Callable[[], bool] = lambda: False) -> None:
    """Save the files of a tutorial, and run its commands, in order.

    Args:
        reader: follows the tutorial.
        tutorial: the document.
        restart: whether it is time to restart the service, during a command that then prints that it does not answer.
    """
    for block in blocks(tutorial):
        match block.language:
            case "yaml" | "toml" | "python":
                reader.save(block.text)
            case "console":
                for command in commands(block):
                    if "does not answer" in command.output:
                        reader.type_and_restart(command, restart)
                    else:
                        reader.type(command)


def _timeless(text: str) -> str:
    """Leave out when things happened and how long they took."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    return re.sub(r"\b(\d+ min )?\d+(\.\d)? s\b", "DURATION", text)
