"""Builds the container image and runs it, without a Docker engine and without a registry: `make image-check`.

Needs root, and from Debian podman, runc and debootstrap. The base image is made once, and kept in the user's cache.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import platformdirs

ROOT: Final = Path(__file__).parents[2]
BASE: Final = platformdirs.user_cache_path("clusterm") / "image-check" / "bookworm.tar"
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
WAIT_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT: Final = 10
LIMIT: Final = 250
"""Megabytes that the image may have beyond its base."""

STORAGE: Final = """
[storage]
driver = "overlay"
graphroot = "{root}/storage"
runroot = "{root}/run"
"""
ENGINE: Final = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{root}/tmp"
"""
"""Where neither systemd nor a right to raise limits can be counted on."""

# As a cautious operator would run it; Docker leaves /dev/shm writable, and so has this to.
LOCKED_DOWN: Final = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp", "--tmpfs=/dev/shm"),
    *("--cap-drop=all", "--security-opt=no-new-privileges"),
)

PLAYBOOK: Final = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Write to the node
      ansible.builtin.copy:
        dest: /tmp/role
        content: "{{ node_name }}"
        mode: "0644"
    - name: Wait as long as it is told to
      ansible.builtin.command:
        argv: [sleep, "{{ seconds | default(0) }}"]
"""


def main() -> int:
    """Build the image, and go through what an operator does with it."""
    if missing := [name for name in ("debootstrap", "podman", "runc") if not shutil.which(name)]:
        print(f"image-check needs {', '.join(missing)}: apt-get install podman runc debootstrap", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print("image-check needs root: debootstrap and podman make file systems here", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("image-check: stopped"))  # and so cleans up
    with _engine() as root:
        base = _load_base(root)
        _build(base)
        _check_size(base)
        _check_first_try()
        _check_locked_down(_playbooks(root))
    say("the image is as it should be")
    return 0


class Container:
    """A container of the image, with the volume that all of them share."""

    def __init__(self, *options: str) -> None:
        volume = "--volume=clusterm:/var/lib/clusterm"
        self._id = podman("run", "--detach", "--network=none", volume, *options, "clusterm").strip()
        wait_for(self._is_well, "the healthcheck to pass")

    def clusterctl(self, *arguments: str, fails: bool = False) -> str:
        """Run clusterctl in it, and return what it prints."""
        return podman("exec", self._id, "clusterctl", *arguments, fails=fails)

    def execute(self, *arguments: str, fails: bool = False) -> str:
        """Run any other program in it."""
        return podman("exec", self._id, *arguments, fails=fails)

    def job(self, job: str) -> dict[str, Any]:
        """Return a job."""
        return dict(json.loads(self.clusterctl("job", "get", job, "--json")))

    def stop(self) -> None:
        """Stop it as `docker stop` does, which kills what has not ended in time. It must have ended well."""
        podman("stop", f"--time={STOP_TIMEOUT}", self._id)
        status = podman("inspect", "--format={{.State.ExitCode}}", self._id).strip()
        check(status == "0", f"the service ended with status {status} when it was stopped\n{self.log()}")
        self._remove()

    def kill(self) -> None:
        """End it without a chance to say anything."""
        podman("kill", "--signal=KILL", self._id)
        podman("wait", self._id)
        self._remove()

    def log(self) -> str:
        """Return what the service said."""
        return podman("logs", self._id)

    def _remove(self) -> None:
        podman("rm", self._id)

    def _is_well(self) -> bool:
        running = podman("inspect", "--format={{.State.Running}}", self._id).strip()
        check(running == "true", f"the service has ended\n{self.log()}")
        asked = subprocess.run(["podman", "healthcheck", "run", self._id], capture_output=True, check=False)
        return asked.returncode == 0


def _check_size(base: str) -> None:
    sizes = [int(podman("image", "inspect", "--format={{.Size}}", image)) for image in ("clusterm", base)]
    beyond = (sizes[0] - sizes[1]) / 1e6
    say(f"the image has {beyond:.0f} MB beyond its base of {sizes[1] / 1e6:.0f} MB")
    check(beyond < LIMIT, f"that is more than {LIMIT} MB")


def _check_first_try() -> None:
    """What the head of the Dockerfile says, and nothing else."""
    container = Container()
    check("http://0.0.0.0:9007" in container.log(), "it does not listen where a published port leads to")
    container.clusterctl("timeline")
    container.stop()
    say("run, exec clusterctl timeline, stop: well")


def _check_locked_down(playbooks: Path) -> None:
    options = (*LOCKED_DOWN, f"--volume={playbooks}:/etc/clusterm/playbooks:ro")
    container = Container(*options)
    check(container.execute("id", "-u").strip() == "10001", "it runs as another user than it should")
    container.execute("touch", "/opt/clusterm/file", fails=True)
    container.clusterctl("node", "add", "node1", "--serial=a", "--addr=127.0.0.1")
    container.clusterctl("node", "commission", "node1-a", "--host-group=service-master", "--wait")
    check("node1-a commissioned; result: pass" in container.clusterctl("timeline"), "the job is not on the timeline")
    container.stop()
    say("read-only, without capabilities, not root: a job ran")

    for end in (Container.stop, Container.kill):
        container = Container(*options)
        check("node1-a commissioned; result: pass" in container.clusterctl("timeline"), "the history is gone")
        started = json.loads(container.clusterctl("node", "update", "node1-a", "--extra-vars=seconds=600", "--json"))
        wait_for(
            lambda c=container: "TASK [Wait" in c.clusterctl("job", "logs", "active"), "the job to be in its midst"
        )
        end(container)
        container = Container(*options)
        container.clusterctl("job", "wait", str(started["id"]), "--timeout=60", fails=True)
        job = container.job(str(started["id"]))
        check((job["status"], "interrupted" in job["error"]) == ("Errored", True), f"the job was not said to be: {job}")
        say(f"{end.__name__} in mid-job, start: {job['error']}")
        container.clusterctl("node", "commission", "node1-a", "--host-group=service-master", "--wait")
        container.stop()


def _playbooks(root: Path) -> Path:
    directory = root / "playbooks"
    directory.mkdir(mode=0o755)
    for name in ("site.yml", "cleanup.yml"):
        (directory / name).write_text(PLAYBOOK)
    return directory


# What stands in for a Docker engine


@contextmanager
def _engine() -> Iterator[Path]:
    """Set podman up with everything in one directory of its own, and remove that whatever happens."""
    root = Path(tempfile.mkdtemp(prefix="clusterm-image-check-"))
    root.chmod(0o755)  # the container's user reads the playbooks
    for variable, text in (("CONTAINERS_STORAGE_CONF", STORAGE), ("CONTAINERS_CONF", ENGINE)):
        file = root / f"{variable.lower()}.toml"
        file.write_text(text.format(root=root))
        os.environ[variable] = str(file)
    try:
        yield root
    finally:
        subprocess.run(["podman", "rm", "--all", "--force", "--time=0"], capture_output=True, check=False)
        for mounted in sorted(_mounts_below(root), reverse=True):
            subprocess.run(["umount", mounted], check=False)
        shutil.rmtree(root)


def _mounts_below(root: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{root}/")]


def _load_base(root: Path) -> str:
    """Take the base image out of the cache, and before that make it if it is not there."""
    if not BASE.exists():
        say(f"making the base image, once; it is kept in {BASE}")
        tree = root / "base"
        include = "--include=python3,python3-venv,ca-certificates"
        run("debootstrap", "--variant=minbase", include, "bookworm", tree, *_mirror())
        BASE.parent.mkdir(parents=True, exist_ok=True)
        unfinished = BASE.with_suffix(f".{os.getpid()}")
        try:
            run("tar", "--create", "--file", unfinished, "--directory", tree, "--exclude=./dev/*", "--exclude=./proc/*",
                "--exclude=./sys/*", "--exclude=./var/cache/apt/archives/*.deb", ".")  # fmt: skip
            unfinished.rename(BASE)
        finally:
            unfinished.unlink(missing_ok=True)
            shutil.rmtree(tree)
    return podman("import", "--quiet", str(BASE), "clusterm-base").strip()


def _mirror() -> list[str]:
    """Return the Debian mirror that apt uses here, if it is one."""
    sources = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], stdout=subprocess.PIPE, check=False)
    return [uri for uri in sources.stdout.decode().splitlines() if uri.rstrip("/").endswith("/debian")][:1]


def _build(base: str) -> None:
    """Build the image. pip trusts what this machine trusts, where a proxy or a mirror has a certificate of its own."""
    trust = [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.exists() else []
    before = time.monotonic()
    run("podman", "build", "--quiet", "--isolation=chroot", "--format=docker", *trust, f"--build-arg=BASE_IMAGE={base}",
        "--tag=clusterm", ROOT)  # fmt: skip
    say(f"built in {time.monotonic() - before:.0f} s")


def podman(*arguments: str, fails: bool = False) -> str:
    """Run podman, and return what it prints; what must not fail, or must, ends the check if it does not do so."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    said = f"podman {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    check((done.returncode != 0) == fails, said)
    return done.stdout + done.stderr if arguments[0] == "logs" else done.stdout


def run(*arguments: str | Path) -> None:
    """Run a program that takes long, out of the way of others."""
    done = subprocess.run(["nice", "-n", "15", *arguments], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{arguments[0]} failed\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def wait_for(look: Any, what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not look():
        check(time.monotonic() < deadline, f"waited too long for {what}")
        time.sleep(0.2)


def check(so: bool, otherwise: str) -> None:
    """End the check if something is not as it should be."""
    if not so:
        sys.exit(f"image-check: {otherwise}")


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"image-check: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
