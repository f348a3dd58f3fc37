"""The measurements. Each function starts its own services and yields findings."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import followers
import history
import large_cluster
import long_log
from service import LONGEST_HISTORY, NODES, Broken, Clusterm, clean_environment, clusterm

from clusterm.ansible.command import PLUGINS, find_executable
from clusterm.ansible.inventory import inventory
from clusterm.schemas import Job, Node, format_time
from clusterm.settings import MIB, AnsibleSettings

_HERE: Final = Path(__file__).parent
_CHARACTERS: Final = 250


@dataclass(frozen=True)
class Finding:
    """One line of the result.

    Attributes:
        what: description of the measurement.
        measured: the measured figure.
        compared: description and figure of the comparison; empty for none.
        target: target of the figure; empty for none.
        reached: whether the figure meets the target.
    """

    what: str
    measured: str
    compared: str = ""
    target: str = ""
    reached: bool = True


Findings = Generator[Finding, None, None]


def measure_large_job() -> Findings:
    """Measure a job of the size usual for ten nodes, reading its whole log, and the memory for both."""
    lines = 15_000
    with clusterm(program=[str(_HERE / "memory_route.py")]) as service:
        alone = service.use_printer(lines=lines, characters=_CHARACTERS)
        service.start()
        executor = max(_memory_of_executor(service))
        through, bare = _medians(5, service.run, lambda: _run(alone, service.root))
        service.check_lines(lines)
        yield Finding(
            f"job of {lines:,} lines x {_CHARACTERS} characters",
            _seconds(through),
            f"the same program into a file: {_seconds(bare)}",
            "adds < 2 s",
            through - bare < 2,
        )

        whole = service.read("/info/job/last")
        service.put("/memory", whole)
        stored, kept = _medians(15, lambda: service.read("/info/job/last"), lambda: service.read("/memory"))
        yield Finding(
            f"GET /info/job/last of it, {len(whole) / MIB:.1f} MiB",
            _milliseconds(stored),
            f"the same bytes from memory: {_milliseconds(kept)}",
            "< 6 x",
            stored < 6 * kept,
        )

        peak = _peak_memory(service.pid)
        yield Finding("peak memory of the service so far", _mebibytes(peak), "", "< 150 MiB", peak < 150 * MIB)
        yield Finding("peak memory of the executor", _mebibytes(executor))


def measure_ansible() -> Findings:
    """Measure a real playbook with and without clusterm, with the same inventory and extra vars."""
    with clusterm() as service:
        service.ansible["playbook_location"] = str(_HERE / "playbooks")
        service.start()
        job = service.begin()
        alone = _ansible_alone(service, job)
        for _ in service.until_ended(job):
            pass
        # clusterm sets it for its host groups; without it ansible prints one more line, a warning.
        settings = {"ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore"}
        through, bare = _medians(3, service.run, lambda: _run(alone, service.root, settings))
        lines = len((service.root / "output").read_bytes().splitlines())
        service.check_lines(lines)
    yield Finding(
        f"job of {lines:,} lines from ansible",
        _seconds(through),
        f"ansible-playbook into a file: {_seconds(bare)}",
        "adds < 5 % + 1 s",
        through < 1.05 * bare + 1,
    )


def measure_records() -> Findings:
    """Measure a playbook of many results with and without the callback plugin, each in ten runs of 1,000 results."""
    runs = 10
    with tempfile.TemporaryDirectory(prefix="clusterm-bench-") as name:
        root = Path(name)
        hosts: dict[str, Any] = {node: {} for node in NODES}
        (root / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        command = [_ansible(), "--inventory", str(root / "inventory.json"), str(_HERE / "playbooks" / "results.yml")]
        bare, recorded = _medians(
            runs,
            lambda: _run(command, root),
            lambda: _run(command, root, {"ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "CLUSTERM_NONCE": "nonce"}),
            clock=_processor_time,
        )
        output = (root / "output").read_text()
        if output.count('"event":"result"') < 1000:
            raise Broken("the callback plugin did not write its records")
    yield Finding(
        f"{runs * 1000:,} results, processor time of 1,000 with the records",
        _seconds(recorded),
        f"without: {_seconds(bare)}",
        "adds < 5 %",
        recorded < 1.05 * bare,
    )


def measure_followers() -> Findings:
    """Measure the delay of a line from printing to the followers of the log."""
    lines = 250
    with clusterm() as service:
        service.use_printer(lines=lines, characters=_CHARACTERS, per_second=50, gate=followers.GATE)
        service.start()
        for count in (1, 20, 200):
            measured = [followers.follow(service, count, lines) for _ in range(3)]
            percentiles = [statistics.quantiles(delays, n=100) for delays, _ in measured]
            p50, p99 = (statistics.median(each[percent - 1] for each in percentiles) for percent in (50, 99))
            busy = statistics.median(busy for _, busy in measured)
            yield Finding(
                f"line to {count} follower{'s' if count > 1 else ''}, at 50 lines a second",
                f"p50 {_milliseconds(p50)}, p99 {_milliseconds(p99)}, service {100 * busy:.0f} % of a core",
                "",
                "p99 < 300 ms, < 100 %",
                p99 < 0.3 and busy < 1,
            )


def measure_long_log() -> Findings:
    """Measure reading parts of a log of a million lines, and the memory for reading all lines."""
    lines = 1_000_000
    with clusterm() as service:
        long_log.fill(service, lines)
        service.start()
        since = format_time(long_log.BEGAN + lines * 9 // 10 * long_log.LINE_TIME)
        for what in (
            "tail=100",
            f"from={lines // 2}&to={lines // 2 + 99}",
            f"since={since}&to={lines * 9 // 10 + 99}",
            f"node={NODES[3]}&tail=100",
            "failed=true&tail=100",
        ):
            (part,) = _medians(20, partial(service.read, f"/info/logs/1?{what}"))
            yield Finding(f"{what} of {lines:,} lines", _milliseconds(part), "", "< 50 ms", part < 0.05)
        for what in ("", f"node={NODES[3]}", "grep=nothing"):
            began = time.perf_counter()
            size = service.size(f"/info/logs/1?{what}")
            yield Finding(
                f"all lines {what}".rstrip(), f"{_seconds(time.perf_counter() - began)}, {size / MIB:.0f} MiB"
            )
        peak = _peak_memory(service.pid)
        yield Finding("peak memory of the service for these", _mebibytes(peak), "", "< 150 MiB", peak < 150 * MIB)


def measure_history() -> Findings:
    """Measure the same reads with a short and a long history, and the command that shows the timeline."""
    with clusterm() as short, clusterm() as long:
        for service, jobs in ((short, 10), (long, LONGEST_HISTORY)):
            history.fill(service, jobs)
            service.start()
        # The limit is the number of jobs of the short history, so that both responses have the same size.
        for path in ("/info/job/last", "/info/jobs/timeline", "/info/jobs?limit=10", "/info/nodes"):
            of_short, of_long = _medians(50, partial(short.read, path), partial(long.read, path))
            yield Finding(
                f"GET {path} with {LONGEST_HISTORY:,} jobs of history",
                _milliseconds(of_long),
                f"with 10 jobs: {_milliseconds(of_short)}",
                "< 1.5 x",
                of_long < 1.5 * of_short,
            )
        timeline, nothing = _medians(
            11, lambda: _clusterctl(long, "timeline"), lambda: _run([sys.executable, "-c", "pass"], long.root)
        )
    yield Finding(
        "clusterctl timeline",
        _seconds(timeline),
        f"Python alone: {_seconds(nothing)}",
        "< 0.35 s",
        timeline < 0.35,
    )


def measure_large_cluster() -> Findings:
    """Measure reading all nodes of a large cluster, and the time to accept a job on a thousand nodes."""
    with clusterm() as service:
        service.use_printer(lines=1, characters=_CHARACTERS)
        large_cluster.fill(service)
        service.start()
        (every,) = _medians(5, lambda: service.read("/info/nodes"))
        yield Finding(
            f"GET /info/nodes of {large_cluster.NODES:,} nodes", _milliseconds(every), "", "< 300 ms", every < 0.3
        )
        (table,) = _medians(5, lambda: _clusterctl(service, "nodes", "get"))
        yield Finding(f"clusterctl nodes get of {large_cluster.NODES:,} nodes", _seconds(table), "", "< 1 s", table < 1)
        rack = [large_cluster.name(number) for number in range(large_cluster.IN_RACK)]
        for what, nodes in (("names", rack), ("a glob", ["rack0-*"])):
            accepted = statistics.median(_accepted(service, nodes) for _ in range(3))
            yield Finding(
                f"commission of {len(rack):,} nodes by {what}, until it is accepted",
                _milliseconds(accepted),
                "",
                "< 1 s",
                accepted < 1,
            )


def _accepted(service: Clusterm, nodes: Sequence[str]) -> float:
    """Return the seconds until a commission is accepted; afterwards decommission the nodes."""
    began = time.perf_counter()
    job = service.post("/commission/nodes", {"nodes": nodes, "host_group": "service-master"})
    accepted = time.perf_counter() - began
    for _ in service.until_ended(job):
        pass
    for _ in service.until_ended(service.post("/decommission/nodes", {"nodes": nodes})):
        pass
    return accepted


def _medians(
    times: int, *actions: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> Sequence[float]:
    """Run the actions in turn, once to warm up and then `times` times, and return the median seconds of each."""
    taken: list[list[float]] = [[] for _ in actions]
    for _ in range(1 + times):
        for seconds, action in zip(taken, actions, strict=True):
            began = clock()
            action()
            seconds.append(clock() - began)
    return [statistics.median(seconds[1:]) for seconds in taken]


def _clusterctl(service: Clusterm, *arguments: str) -> None:
    """Run clusterctl, which reads the service's token from its state directory."""
    command = [str(Path(sys.executable).with_name("clusterctl")), "--url", str(service.url), *arguments]
    _run(command, service.root, {"CLUSTERM_MANAGER__STATE_DIR": str(service.state_dir)})


def _run(command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a command with its output in the file `output` of a directory."""
    with (directory / "output").open("wb") as output:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=clean_environment() | dict(environment or {}),
            check=True,
        )


def _ansible_alone(service: Clusterm, job: Any) -> list[str]:
    """Return the command that runs a job's ansible without clusterm."""
    ansible = AnsibleSettings.model_validate(service.ansible)
    nodes = [Node.model_validate(node) for node in service.get("/info/nodes").values()]
    inventory_file, extra_vars_file = service.root / "inventory.json", service.root / "extra_vars.json"
    begun = Job.model_validate(job)
    hosts = inventory([], nodes, ansible, host_group=begun.host_group)
    inventory_file.write_text(json.dumps(hosts))
    extra_vars_file.write_text(ansible.extra_variables)
    playbook = str(ansible.playbook_dir / ansible.configure_playbook)
    return [_ansible(), "--inventory", str(inventory_file), "--extra-vars", f"@{extra_vars_file}", playbook]


def _ansible() -> str:
    name = AnsibleSettings().executable
    if (executable := find_executable(name)) is None:
        raise Broken(f"{name} was not found")
    return executable


def _processor_time() -> float:
    """Return the processor time of all ended child processes, in seconds; other load on the machine hardly matters."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory_of_executor(service: Clusterm) -> Iterator[int]:
    """Run a job, and yield the peak memory of its executor at each poll, in bytes."""
    for _ in service.until_ended(service.begin()):
        for executor in service.executors():
            try:
                yield _peak_memory(executor.pid)
            except (OSError, KeyError):
                continue  # the executor has just ended


def _peak_memory(pid: int) -> int:
    """Return the peak memory of a process, in bytes (Linux, proc(5))."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _mebibytes(size: int) -> str:
    return f"{size / MIB:.0f} MiB"
