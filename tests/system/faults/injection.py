"""Injects one fault into the processes of a service, by the library `faults.c`."""

import ctypes
import errno
import mmap
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

ROLES: Final = ("service", "executor", "wrapper", "start")
"""Whose calls fail; `start` is the service while it starts."""

CALLS: Final = ("write", "sync", "open", "name", "spawn", "thread")
_PROCESSES: Final = 3
_EFFECTS: Final = ("nothing", "error", "kill", "tear", "cut")

ERRORS: Final = {
    "write": ("EIO", "ENOSPC"),
    "sync": ("EIO", "ENOSPC"),
    "open": ("EIO", "ENOSPC", "EMFILE"),
    "name": ("EIO", "ENOSPC"),
    "spawn": ("EAGAIN", "ENOMEM"),
    "thread": ("EAGAIN",),
}
"""Errors that a call can have."""


class _Control(ctypes.Structure):
    """The beginning of `struct control` in `faults.c`; the mutex follows."""

    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in (
                "ready",
                "role",
                "call",
                "effect",
                "error",
                "number",
                "times",
                "counting",
                "fired",
                "off",
                "journal",
                "copies",
            )
        ),
        ("counts", (ctypes.c_int32 * len(CALLS)) * _PROCESSES),
    )


@dataclass(frozen=True)
class Fault:
    """A fault: what happens at which call of which kind of process."""

    role: str
    call: str
    effect: str
    """The name of an errno; `kill`, `tear` (die within a write), `cut` or `mixed` (both cut the power)."""
    number: int
    """Which of these calls, from 1 on."""
    times: int = 1
    """How many calls fail from there on."""

    @property
    def cuts_power(self) -> bool:
        """Whether all processes end, and what was not written to the disk is lost: all of it, or some if `mixed`."""
        return self.effect in {"cut", "mixed"}

    def __str__(self) -> str:
        times = f" --times {self.times}" if self.times > 1 else ""
        return f"--role {self.role} --call {self.call} --effect {self.effect} --number {self.number}{times}"


class Injector:
    """Controls the faults of the processes that have its environment.

    Args:
        library: the compiled library.
        directory: a directory for its files, which is created.
        root: the directory whose files are meant.
    """

    def __init__(self, library: Path, directory: Path, root: Path) -> None:
        (directory / "copies").mkdir(parents=True)
        self.directory = directory
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULTS_DIRECTORY": str(directory),
            "FAULTS_ROOT": str(root),
        }
        file = directory / "control"
        file.write_bytes(bytes(4096))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0)
        self._control = _Control.from_buffer(self._memory)
        self.reboot()

    def arm(self, fault: Fault) -> None:
        """Count calls from here on, and let the fault happen at its turn."""
        control = self._control
        self.disarm()
        ctypes.memset(ctypes.byref(control.counts), 0, ctypes.sizeof(control.counts))
        control.role = ROLES.index("service" if fault.role == "start" else fault.role)
        control.call = CALLS.index(fault.call)
        control.number, control.times = fault.number, fault.times
        control.journal = fault.cuts_power
        if fault.cuts_power:
            control.effect = _EFFECTS.index("cut")
        elif fault.effect in _EFFECTS:
            control.effect = _EFFECTS.index(fault.effect)
        else:
            control.effect, control.error = _EFFECTS.index("error"), getattr(errno, fault.effect)
        control.counting = 1

    def disarm(self) -> None:
        """Let every call succeed, and the power be on."""
        control = self._control
        control.counting = control.effect = control.fired = control.off = control.journal = 0

    def reboot(self) -> None:
        """Let processes that start from here on believe that the machine was booted since."""
        (self.directory / "boot_id").write_text(f"{uuid4()}\n")

    @property
    def fired(self) -> bool:
        """Whether the fault has happened."""
        return bool(self._control.fired)

    def switch_on(self) -> None:
        """Switch the power on after a cut, and inject nothing more; `fired` stays."""
        self._control.off = self._control.effect = self._control.journal = 0
        self.reboot()

    @property
    def is_off(self) -> bool:
        """Whether the power is cut."""
        return bool(self._control.off)


def compile_library(directory: Path) -> Path:
    """Compile the library, and return its file.

    Raises:
        subprocess.CalledProcessError: it cannot be compiled.
    """
    library = directory / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library
