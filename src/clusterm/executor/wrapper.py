"""The parent of one ansible-playbook: keeps its output and exit status, whatever becomes of clusterm.

Run as `python wrapper.py DIRECTORY GRACE PROGRAM ARGUMENT...`, or without a program to take over from a wrapper that
was killed; standard library only, so that it starts fast and stays small. The directory belongs to one step of one
job. In it:

    started   made once, so that nothing is started twice; locked while a wrapper lives; names the processes
    terminal  the pipe that ansible writes to; both ends are held open, so that ansible never meets a closed one
    output    ansible's output, stdout and stderr merged
    times     when which part of it came: pairs of (offset of its end, nanoseconds since the epoch)
    ended     how ansible ended

ansible does not write to `output` itself because it would die of a full disk. SIGUSR1 makes the wrapper stop ansible:
SIGINT, after a grace period SIGTERM, after another one SIGKILL to all that came of it.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

TIME: Final = struct.Struct("<QQ")
_RECORD_SIZE: Final = 1024  # of `started` and `ended`
_CHUNK: Final = 1 << 20
_POLL_INTERVAL_S: Final = 0.5  # seconds between looks at a process that is not our child
_STATE, _PARENT, _START_TIME = 0, 1, 19  # places in what `_stat` returns
_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)


def main(directory: Path, grace: float, command: list[str]) -> None:
    """Run a command to its end, unless it has been started before; without one, watch over the one that was."""
    try:
        started = os.open(directory / "started", os.O_RDWR | (os.O_CREAT | os.O_EXCL if command else 0), 0o600)
        fcntl.flock(started, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileExistsError, BlockingIOError):
        return  # somebody else is at it
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # they are meant for others; ansible gets its own
    keeper = ProcessMonitor(directory, started, grace)
    if command:
        keeper.run(command)
    else:
        keeper.take_over()


class ProcessMonitor:
    """Watches over one running command.

    Args:
        directory: the step's.
        started: its open and locked file.
        grace: seconds between one signal and the next.
    """

    def __init__(self, directory: Path, started: int, grace: float) -> None:
        self._own = identify(os.getpid())
        self._started = started
        self._grace = grace
        self._process: dict[str, Any] = {}
        self._how: dict[str, Any] | None = None
        self._signals: list[signal.Signals] = []
        self._next_signal = 0.0
        self._ended = os.open(directory / "ended", os.O_RDWR | os.O_CREAT, 0o600)
        for file in (self._started, self._ended):
            room = _RECORD_SIZE - os.fstat(file).st_size  # taken now, since the disk may be full later
            os.pwrite(file, b" " * room, os.fstat(file).st_size)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(directory / "terminal", 0o600)
        self._terminal = os.open(directory / "terminal", os.O_RDWR | os.O_NONBLOCK)
        self._output = _Output(directory)
        self._wakeup, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: self._stop())

    def run(self, command: list[str]) -> None:
        """Start the command, and keep what it says until it has ended."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        terminal = os.open(f"/proc/self/fd/{self._terminal}", os.O_RDWR)  # blocking, unlike our own
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
                preexec_fn=self._become_command,  # noqa: PLW1509 -- this process has one thread
            )
        except OSError as error:
            self._end({"error": f"cannot run {command[0]}: {error.strerror}"})
            return
        os.close(terminal)
        child.returncode = 0  # this process waits for all of its children itself
        self._watch(identify(child.pid), self._reap)

    def take_over(self) -> None:
        """Watch over a command that another wrapper started. How it ends, only its parent could learn."""
        process = json.loads(os.pread(self._started, _RECORD_SIZE, 0))["process"]
        self._name(process)
        self._watch(process, self._look)

    def _become_command(self) -> None:
        """Make the child ready; it names itself, so that the command never runs without being named."""
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)
        self._name(identify(os.getpid()))

    def _name(self, process: dict[str, Any]) -> None:
        self._record(self._started, {"process": process, "wrapper": self._own})

    def _watch(self, process: dict[str, Any], check: Callable[[], None]) -> None:
        """Keep what the command says until it has ended."""
        self._process = process
        while self._how is None:
            timeout = max(0.0, self._next_signal - time.monotonic()) if self._signals else _POLL_INTERVAL_S
            ready, _, _ = select.select([self._terminal, self._wakeup], [], [], min(timeout, _POLL_INTERVAL_S))
            if self._wakeup in ready:
                os.read(self._wakeup, 512)
            if self._terminal in ready:
                self._output.take(self._terminal)
            check()
            if self._signals and time.monotonic() >= self._next_signal:
                self._send(self._signals.pop(0))
        if self._how.get("status", 0) < 0:
            self._kill_offspring()  # ansible had no chance to end it
        self._drain()
        self._end(self._how)

    def _drain(self) -> None:
        """Take what is in the pipe by now; a grandchild may go on writing for ever."""
        left, *_ = struct.unpack("i", fcntl.ioctl(self._terminal, termios.FIONREAD, bytes(4)))
        while left > 0 and (taken := self._output.take(self._terminal)):
            left -= taken

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._process["pid"]:
                    self._how = {"status": os.waitstatus_to_exitcode(found[1])}

    def _look(self) -> None:
        if not lives(self._process):
            self._how = {"error": "how ansible ended is not known: what waited for it was killed"}

    def _stop(self) -> None:
        if not self._signals:
            self._signals = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
            self._next_signal = 0.0

    def _send(self, number: signal.Signals) -> None:
        """Signal ansible's process group; the last time, all of its offspring, which is in groups of its own."""
        self._next_signal = time.monotonic() + self._grace
        if not lives(self._process):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process["pid"], number)
        if number is signal.SIGKILL:
            self._kill_offspring()

    def _kill_offspring(self) -> None:
        """Kill what ansible has started. Orphans are offspring of this process, if it is the one that started it."""
        for pid in _offspring(self._process["pid"]) | _offspring(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self, how: dict[str, Any]) -> None:
        self._record(self._ended, how | {"lost": self._output.lost})
        os.fsync(self._ended)

    def _record(self, file: int, what: dict[str, Any]) -> None:
        os.pwrite(file, json.dumps(what).encode().ljust(_RECORD_SIZE), 0)


class _Output:
    """The files that the output goes to. What finds no room is counted, and its place is marked."""

    def __init__(self, directory: Path) -> None:
        self._output = os.open(directory / "output", os.O_RDWR | os.O_CREAT, 0o600)
        self._times = os.open(directory / "times", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._offset = os.lseek(self._output, 0, os.SEEK_END)
        self._missing = 0
        self.lost = 0

    def take(self, pipe: int) -> int:
        """Take some of what a pipe holds, and return how much that was."""
        if not self._missing:
            with contextlib.suppress(OSError):  # there is no room
                # One call, since what has been read and not yet written is lost with a process that is killed.
                moved = os.splice(pipe, self._output, _CHUNK)
                self._note(moved)
                return moved
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return 0
        self._write(data)
        return len(data)

    def _write(self, data: bytes) -> None:
        if self._missing:
            newline = b"" if self._is_at_line_start() else b"\n"
            mark = b"%s[clusterm: %d bytes of output are missing here: the disk was full]\n" % (newline, self._missing)
            if self._append(mark) < len(mark):
                self._lose(len(data))
                return
            self._missing = 0
        self._lose(len(data) - self._append(data))

    def _is_at_line_start(self) -> bool:
        return self._offset == 0 or os.pread(self._output, 1, self._offset - 1) == b"\n"

    def _append(self, data: bytes) -> int:
        """Write as much as there is room for and return how much that was."""
        written = 0
        with contextlib.suppress(OSError):  # the disk is full or broken; ansible must go on, and the loss is counted
            while written < len(data):
                written += os.write(self._output, data[written:])
        if written:
            self._note(written)
        return written

    def _note(self, count: int) -> None:
        """Note when a part came."""
        self._offset += count
        with contextlib.suppress(OSError):  # the reader then takes the time of a later part
            os.write(self._times, TIME.pack(self._offset, time.time_ns()))

    def _lose(self, count: int) -> None:
        self._missing += count
        self.lost += count


def identify(pid: int) -> dict[str, Any]:
    """Return what tells a process from every other one, also after its pid was given to another.

    Raises:
        OSError: there is no such process.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": pid, "started": int(_stat(pid)[_START_TIME]), "boot": boot}


def lives(process: dict[str, Any]) -> bool:
    """Tell whether the process that `identify` described is there, and is neither a zombie nor another with its pid."""
    try:
        return identify(process["pid"]) == process and _stat(process["pid"])[_STATE] not in "ZX"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """Return what proc(5) says of a process in `stat`, from the third field on."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _offspring(pid: int) -> set[int]:
    """Return all processes that descend from one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                parents[int(entry.name)] = int(_stat(int(entry.name))[_PARENT])
    found = {pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
