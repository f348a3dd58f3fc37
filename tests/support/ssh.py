"""Machines for ansible to reach over ssh: an sshd each, with a home directory and a loopback address of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from clusterm.settings import AnsibleSettings
from support.requirements import path_of
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

PORT = 2222


def make_keys(directory: Path) -> None:
    """Make the key of all hosts and the key of the user whom they let in."""
    for key in ("host", "user"):
        _make_key(directory / key)


def write_sshd_config(
    directory: Path, name: str, environment: Mapping[str, object], *lines: str, host_key: str = "host"
) -> Path:
    """Write the configuration of one machine's sshd, and return the file."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd refuses to work without
    file = directory / f"{name}.conf"
    common = [
        f"HostKey {directory}/{host_key}",
        f"AuthorizedKeysFile {directory}/user.pub",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
        f"SetEnv {' '.join(f'{key}={value}' for key, value in environment.items())}",
        'ForceCommand cd; eval "$SSH_ORIGINAL_COMMAND"',
    ]
    file.write_text("\n".join([*common, *lines, ""]))
    return file


class SshNodes:
    """Machines by name. What each writes into its home is in `homes`; its environment has its name.

    Args:
        directory: where their files are kept.
        addresses: the address of each.
        inside: for each, what to put before a command to run it there, as in a network namespace.
        ports: the ports of those that do not listen at `PORT`.
    """

    def __init__(
        self,
        directory: Path,
        addresses: Mapping[str, str],
        inside: Mapping[str, Sequence[str]] | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self.addresses = dict(addresses)
        self.homes = {name: directory / name for name in addresses}
        self._directory = directory
        self._inside = inside or {}
        self.ports = dict.fromkeys(addresses, PORT) | dict(ports or {})
        self._host_keys = dict.fromkeys(addresses, "host")
        self._running: dict[str, psutil.Popen] = {}
        self._sockets = Path(tempfile.mkdtemp(prefix="ssh-"))  # their paths must be short
        directory.mkdir()
        make_keys(directory)
        for name in addresses:
            self.homes[name].mkdir()
            self.start(name)

    def configure(self, clusterm: Clusterm) -> None:
        """Let a clusterm that is not started yet reach them, with the defaults in all else."""
        clusterm.config["ansible"]["priv_key_file"] = str(self.user_key)
        clusterm.config["ansible"]["ssh_args"] = f"{AnsibleSettings().ssh_args} -o IdentitiesOnly=yes"
        # Without pipelining ansible wants a terminal, which only root's sshd can give.
        settings = f"pipelining = true\ncontrol_path_dir = {self._sockets}"
        clusterm.write_playbook("ansible.cfg", f"[ssh_connection]\n{settings}\n")

    def start(self, name: str) -> None:
        """Switch a machine on."""
        home, address = self.homes[name], self.addresses[name]
        environment = {"HOME": home, "CLUSTERM_NODE": name}
        lines = (f"ListenAddress {address}:{self.ports[name]}", "PrintMotd no")
        config = write_sshd_config(self._directory, name, environment, *lines, host_key=self._host_keys[name])
        log = self.log(name)
        log.write_bytes(b"")
        self._running[name] = psutil.Popen(
            [*self._inside.get(name, ()), path_of("sshd"), "-D", "-f", str(config), "-E", str(log)]
        )
        wait_for(lambda: "Server listening" in log.read_text(), f"the sshd of {name}")

    def kill(self, name: str) -> None:
        """Switch a machine off: its sshd, its connections and all that runs over them are gone at once."""
        sshd = self._running.pop(name)
        sshd.suspend()  # so that nothing new comes up meanwhile
        for process in [*sshd.children(recursive=True), sshd]:
            process.kill()
        sshd.wait(WAIT_TIMEOUT_S)

    def reinstall(self, name: str) -> None:
        """Give a machine another host key."""
        self.kill(name)
        self._host_keys[name] = f"{self._host_keys[name]}-{name}"
        _make_key(self._directory / self._host_keys[name])
        self.start(name)

    def host_key(self, name: str) -> str:
        """Return the public host key of a machine."""
        return (self._directory / f"{self._host_keys[name]}.pub").read_text()

    def log(self, name: str) -> Path:
        """Return the log of a machine's sshd."""
        return self._directory / f"{name}.log"

    @property
    def user_key(self) -> Path:
        """The private key of the user whom they let in."""
        return self._directory / "user"

    def stop(self) -> None:
        """Switch all off."""
        for name in list(self._running):
            self.kill(name)
        shutil.rmtree(self._sockets)


def _make_key(file: Path) -> None:
    subprocess.run(
        [path_of("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", file], check=True, timeout=WAIT_TIMEOUT_S
    )
