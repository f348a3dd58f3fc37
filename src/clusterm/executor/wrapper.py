"""Run one ansible-playbook as its parent, and record its output and exit status even if clusterm is killed.

The wrapper has the role of conmon and containerd-shim for containers. It is run as
`python wrapper.py DIRECTORY GRACE LIMIT PROGRAM ARGUMENT...`, or without a program to take over from a killed wrapper.
It uses only the standard library, so that it starts fast and stays small. The directory belongs to one step of one job:

    started   created exclusively, so that a step never starts twice; locked while a wrapper lives; names the processes,
              and says why output is being lost. Absent: nothing was started
    terminal  the pipe that ansible writes to; both ends stay open, so that ansible never gets SIGPIPE
    output    ansible's output, stdout and stderr merged
    times     arrival times of parts of the output: pairs of (offset of the part's end, nanoseconds since the epoch)
    ended     exit status of ansible, or the error

ansible does not write to `output` directly because a full disk would abort it. The executor releases the space of what
it has read; if the rest takes more than LIMIT bytes of the disk, further output is dropped until half of it is read.
SIGUSR1 makes the wrapper stop ansible:
SIGINT, after a grace period SIGTERM, after another one SIGKILL to all of its descendants.
"""

import contextlib
import ctypes
import errno
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
_RECORD_SIZE: Final = 1024  # bytes of `started` and of `ended`
_CHUNK: Final = 1 << 20
_STAT_BLOCK: Final = 512  # bytes in a block of st_blocks, stat(2)
_POLL_INTERVAL_S: Final = 0.5  # seconds between polls of a process that is not a child of this one
_NO_RESOURCES: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Errors for which no process can be started now, while it may be possible later."""

_STATE, _PARENT, _START_TIME = 0, 1, 19  # indexes in the result of `_stat`
_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)


def main(directory: Path, grace: float, limit: int, command: list[str]) -> None:
    """Run a command to its end, unless it was started before; without a command, monitor the one that was started."""
    try:
        started = os.open(directory / "started", os.O_RDWR | (os.O_CREAT | os.O_EXCL if command else 0), 0o600)
        fcntl.flock(started, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileExistsError, BlockingIOError):
        return  # another wrapper runs the step
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # only SIGUSR1 stops ansible, by signals of its own
    try:
        monitor = ProcessMonitor(directory, started, grace, limit)
    except OSError:
        if command:
            (directory / "started").unlink()
        raise
    if command:
        monitor.run(command)
    else:
        monitor.take_over()


class ProcessMonitor:
    """Monitors one running command.

    Args:
        directory: the step's directory.
        started: file descriptor of the locked file `started`.
        grace: seconds between one signal and the next.
        limit: maximum size of `output` on the disk, in bytes.
    """

    def __init__(self, directory: Path, started: int, grace: float, limit: int) -> None:
        self._own = identify(os.getpid())
        self._started = started
        self._grace = grace
        self._process: dict[str, Any] = {}
        self._result: dict[str, Any] | None = None
        self._signals: list[signal.Signals] = []
        self._next_signal = 0.0
        self._ended = os.open(directory / "ended", os.O_RDWR | os.O_CREAT, 0o600)
        for file in (self._started, self._ended):
            room = _RECORD_SIZE - os.fstat(file).st_size  # reserved now, because the disk may be full later
            os.pwrite(file, b" " * room, os.fstat(file).st_size)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(directory / "terminal", 0o600)
        self._terminal = os.open(directory / "terminal", os.O_RDWR | os.O_NONBLOCK)
        self._output = _Output(directory, limit, self._name)
        self._wakeup, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: self._stop())

    def run(self, command: list[str]) -> None:
        """Start the command, and record its output until it has ended."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        terminal = os.open(f"/proc/self/fd/{self._terminal}", os.O_RDWR)  # blocking, unlike `self._terminal`
        while True:
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=terminal,
                    stderr=terminal,
                    start_new_session=True,
                    preexec_fn=self._become_command,  # noqa: PLW1509 -- this process has one thread
                )
                break
            except OSError as error:
                if error.errno not in _NO_RESOURCES or self._signals:
                    self._end({"error": f"cannot run {command[0]}: {error.strerror}"})
                    return
                time.sleep(_POLL_INTERVAL_S)
        os.close(terminal)
        child.returncode = 0  # `_reap` waits for all children of this process
        self._process = identify(child.pid)
        self._watch(self._reap)

    def take_over(self) -> None:
        """Monitor a command that another wrapper started. Its exit status is lost, because only a parent gets it."""
        found = json.loads(os.pread(self._started, _RECORD_SIZE, 0))
        self._process = found["process"]
        cause = found.get("losing")  # clusterm 0.1 does not record it
        if cause:
            self._output.continue_loss(cause)
        if not lives(self._process):
            self._output.lost += 1  # maybe: with its last process, a pipe loses what is in it
        self._name(losing=cause)
        self._watch(self._check_alive)

    def _become_command(self) -> None:
        """Prepare the child. The child itself records its identity, so that the command never runs unrecorded."""
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)
        self._process = identify(os.getpid())
        self._name(losing=None)

    def _name(self, *, losing: str | None) -> None:
        """Record the processes, and why output is being lost, which the next wrapper could not know otherwise."""
        self._record(self._started, {"process": self._process, "wrapper": self._own, "losing": losing})

    def _watch(self, check: Callable[[], None]) -> None:
        """Record the command's output until it has ended."""
        while self._result is None:
            timeout = max(0.0, self._next_signal - time.monotonic()) if self._signals else _POLL_INTERVAL_S
            ready, _, _ = select.select([self._terminal, self._wakeup], [], [], min(timeout, _POLL_INTERVAL_S))
            if self._wakeup in ready:
                os.read(self._wakeup, 512)
            if self._terminal in ready:
                self._output.take(self._terminal)
            check()
            if self._signals and time.monotonic() >= self._next_signal:
                self._send(self._signals.pop(0))
        if self._result.get("status", 0) < 0:
            self._kill_offspring()  # ansible was killed and left its children running
        self._drain()
        self._end(self._result)

    def _drain(self) -> None:
        """Record the current contents of the pipe; later output is ignored, because a grandchild may never stop."""
        left, *_ = struct.unpack("i", fcntl.ioctl(self._terminal, termios.FIONREAD, bytes(4)))
        while left > 0 and (taken := self._output.take(self._terminal)):
            left -= taken

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._process["pid"]:
                    self._result = {"status": os.waitstatus_to_exitcode(found[1])}

    def _check_alive(self) -> None:
        if not lives(self._process):
            self._result = {"error": "the exit status of ansible is unknown: its wrapper was killed"}

    def _stop(self) -> None:
        if not self._signals:
            self._signals = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
            self._next_signal = 0.0

    def _send(self, number: signal.Signals) -> None:
        """Signal ansible's process group; SIGKILL also goes to its descendants, which have groups of their own."""
        self._next_signal = time.monotonic() + self._grace
        if not lives(self._process):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process["pid"], number)
        if number is signal.SIGKILL:
            self._kill_offspring()

    def _kill_offspring(self) -> None:
        """Kill ansible's descendants. Its orphans are children of this process, if this process started ansible."""
        for pid in _offspring(self._process["pid"]) | _offspring(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self, result: dict[str, Any]) -> None:
        self._output.sync()  # before the end, so that no power cut leaves an end without its output
        self._record(self._ended, result | {"lost": self._output.lost})
        os.fsync(self._ended)

    def _record(self, file: int, data: dict[str, Any]) -> None:
        os.pwrite(file, json.dumps(data).encode().ljust(_RECORD_SIZE), 0)


class _Output:
    """The files of the output. Bytes that do not fit are counted, and a mark takes their place.

    Args:
        directory: the step's directory.
        limit: maximum size of the output on the disk, in bytes.
        record_loss: called with the cause as `losing` when a loss begins, and with None when its mark is written.
    """

    def __init__(self, directory: Path, limit: int, record_loss: Callable[..., None]) -> None:
        self._output = os.open(directory / "output", os.O_RDWR | os.O_CREAT, 0o600)
        self._times = os.open(directory / "times", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._offset = os.lseek(self._output, 0, os.SEEK_END)
        self._limit = limit
        self._record_loss = record_loss
        self._losing: str | None = None
        self._missing: int | None = 0
        """Bytes that the mark will name; None if another wrapper, which was killed, has lost some of them."""
        self.lost = 0

    def take(self, pipe: int) -> int:
        """Move data from a pipe to the output, and return the number of bytes read."""
        if not self._losing and self._fits(self._limit):
            with contextlib.suppress(OSError):  # the disk is full
                # A single call, because data that is read but not yet written is lost if this process is killed.
                moved = os.splice(pipe, self._output, _CHUNK)
                self._record_time(moved)
                return moved
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return 0
        self._write(data)
        return len(data)

    def continue_loss(self, cause: str) -> None:
        """Record that the wrapper before this one was losing output."""
        self._losing, self._missing, self.lost = cause, None, 1

    def sync(self) -> None:
        """Write the output to the disk, with the mark of a loss that has not ended."""
        if self._losing:
            self._end_loss()
        try:
            os.fsync(self._output)
            os.fsync(self._times)
        except OSError:  # the disk is broken: some of the output may be missing after a power cut
            self.lost += 1

    def _write(self, data: bytes) -> None:
        if not self._fits(self._limit // 2 if self._losing else self._limit):
            self._lose(len(data), f"more than {self._limit} bytes were waiting to be read")
        elif self._losing and not self._end_loss():
            self._lose(len(data))
        elif (missing := len(data) - self._append(data)) > 0:
            self._lose(missing)

    def _fits(self, limit: int) -> bool:
        """Return whether the output takes less than some bytes of the disk, without the parts that were released."""
        return os.fstat(self._output).st_blocks * _STAT_BLOCK < limit

    def _end_loss(self) -> bool:
        """Write the mark of a loss, and return whether there is room for it."""
        newline = "" if self._is_at_line_start() else "\n"
        count = "lines" if self._missing is None else f"{self._missing} bytes"
        mark = f"{newline}{missing_mark(count, str(self._losing))}\n".encode()
        if self._append(mark) < len(mark):
            return False
        self._losing, self._missing = None, 0
        self._record_loss(losing=None)
        return True

    def _is_at_line_start(self) -> bool:
        return self._offset == 0 or os.pread(self._output, 1, self._offset - 1) == b"\n"

    def _append(self, data: bytes) -> int:
        """Write as much as fits, and return the number of bytes written."""
        written = 0
        with contextlib.suppress(OSError):  # the disk is full or broken; ansible continues, and the loss is counted
            while written < len(data):
                written += os.write(self._output, data[written:])
        if written:
            self._record_time(written)
        return written

    def _record_time(self, count: int) -> None:
        """Record the time of a part of the output."""
        self._offset += count
        with contextlib.suppress(OSError):  # the reader then uses the time of a later part
            os.write(self._times, TIME.pack(self._offset, time.time_ns()))

    def _lose(self, count: int, cause: str = "the disk was full") -> None:
        if not self._losing:
            self._losing = cause
            with contextlib.suppress(OSError):  # not every file system overwrites reserved space when it is full
                self._record_loss(losing=cause)
        if self._missing is not None:
            self._missing += count
        self.lost += count


def missing_mark(count: str, cause: str) -> str:
    """Return the line that takes the place of output that is lost.

    Args:
        count: how much is lost, as `12 bytes`.
        cause: why.
    """
    return f"[clusterm: {count} of output are missing here: {cause}]"


def identify(pid: int) -> dict[str, Any]:
    """Return the identity of a process, unique even after its pid is reused.

    Raises:
        OSError: the process does not exist.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": pid, "started": int(_stat(pid)[_START_TIME]), "boot": boot}


def lives(process: dict[str, Any]) -> bool:
    """Return whether a process exists, by its identity from `identify`; a zombie does not count."""
    try:
        return identify(process["pid"]) == process and _stat(process["pid"])[_STATE] not in "ZX"
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    """Return whether a process exists and was stopped by a signal such as SIGSTOP."""
    try:
        return _stat(pid)[_STATE] == "T"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat, proc(5), from the third on."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _offspring(pid: int) -> set[int]:
    """Return all descendants of a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # the process has just ended
                parents[int(entry.name)] = int(_stat(int(entry.name))[_PARENT])
    family = {pid}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {pid}


if __name__ == "__main__":
    _directory, _grace, *_rest = sys.argv[1:]
    if not (_rest and _rest[0].isdigit()):
        _rest.insert(0, str(sys.maxsize))  # an executor of clusterm 0.1 gives no limit
    main(Path(_directory), float(_grace), int(_rest[0]), _rest[1:])
