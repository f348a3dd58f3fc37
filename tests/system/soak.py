"""Runs a service under a mixed load for long, and tells how its memory, descriptors and threads develop.

At once: jobs that pass, fail or are cancelled, followers that count every line, storms of monitor events, SIGHUPs that
change the retention, pruning, and readers of the large lists and of the metrics. An unexpected answer, a lost line, or
a service that has grown when the load has ended is a failure.
"""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from support.programs import SCRIPTED
from support.service import Clusterm

from clusterm.common.actions import NODE_ACTIONS
from clusterm.nodes import lifecycle

GROUP: Final = 5
"""Nodes of each job."""

NODES: Final = 180
ACTIVE_JOBS: Final = 3
FOLLOWERS: Final = 3
"""Per job."""

WARM_UP_S: Final = 120.0
"""Time after which the service is compared with; until then caches and pools fill."""

CALM_S: Final = 20.0
"""Time for connections to close and threads to end after the load."""

MAX_GROWTH: Final = {"memory_mib": 30.0, "descriptors": 5, "threads": 2}
"""How much more of each the service may have at the end than after the warm-up."""


class Soak:
    """A service and the threads that use it.

    Args:
        root: a directory for everything.
        stopping: set when the load is to end.
    """

    def __init__(self, root: Path, stopping: threading.Event) -> None:
        self._clusterm = Clusterm(root)
        self._clusterm.use_program(SCRIPTED)
        self._clusterm.config["manager"]["max_active_jobs"] = ACTIVE_JOBS
        self._clusterm.config["ansible"]["stop_grace"] = 0.5
        self._nodes = [f"soak-{number}" for number in range(1, NODES + 1)]
        self._stopping = stopping
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []

    def run(self, minutes: float) -> bool:
        """Run the load, print a line each minute, and return whether all went well."""
        self._clusterm.start()
        try:
            self._clusterm.add_nodes(*self._nodes)
            self._show("idle", self._measured())
            shares = [self._nodes[number::ACTIVE_JOBS] for number in range(ACTIVE_JOBS)]
            loads = [partial(self._job, share) for share in shares] + [self._storm, self._reload, self._read]
            threads = [
                threading.Thread(target=self._repeat, args=(load, random.Random(load_no)))
                for load_no, load in enumerate(loads)
            ]
            for thread in threads:
                thread.start()
            grown = self._watch(minutes, threads)
        finally:
            self._clusterm.destroy()
        print(", ".join(f"{count:,} {what}" for what, count in sorted(self.done.items())))
        for problem in (*self.problems[:20], *grown):
            print(f"PROBLEM: {problem}")
        return not self.problems and not grown

    def _watch(self, minutes: float, threads: list[threading.Thread]) -> list[str]:
        began = time.monotonic()
        ends = began + minutes * 60
        self._stopping.wait(min(WARM_UP_S, minutes * 30))
        first = self._measured()
        self._show("warm", first)
        while not self.problems and (left := ends - time.monotonic()) > 0:
            self._stopping.wait(min(60.0, left))
            self._show(f"{(time.monotonic() - began) / 60:.0f} min", self._measured())
        self._stopping.set()
        for thread in threads:
            thread.join()
        time.sleep(CALM_S)
        last = self._measured()
        self._show("calm", last)
        return [
            f"{name} grew from {first[name]:.0f} to {last[name]:.0f}"
            for name, most in MAX_GROWTH.items()
            if last[name] > first[name] + most
        ]

    def _measured(self) -> dict[str, float]:
        assert self._clusterm.process is not None
        service = psutil.Process(self._clusterm.process.pid)
        return {
            "memory_mib": service.memory_info().rss / 2**20,
            "descriptors": service.num_fds(),
            "threads": service.num_threads(),
            "processor_s": sum(service.cpu_times()[:2]),
            "database_mib": sum(file.stat().st_size for file in self._clusterm.state_dir.glob("clusterm.db*")) / 2**20,
        }

    def _show(self, when: str, measured: dict[str, float]) -> None:
        print(f"{when:>7}  {'  '.join(f'{name} {value:.0f}' for name, value in measured.items())}", flush=True)

    def _repeat(self, load: Callable[[httpx.Client, random.Random], None], dice: random.Random) -> None:
        """Do one part of the load again and again; what goes wrong ends all and is reported."""
        with httpx.Client(base_url=self._clusterm.http.base_url, timeout=60) as http:
            while not self._stopping.is_set():
                try:
                    load(http, dice)
                except Exception as error:  # noqa: BLE001 -- any is a finding
                    self.problems.append(f"{type(error).__name__}: {error}")
                    self._stopping.set()

    def _job(self, share: list[str], http: httpx.Client, dice: random.Random) -> None:
        """Run a job on nodes that no other job uses, and compare its end and what its followers got with its kind."""
        first = dice.randrange(0, len(share), GROUP)
        nodes = share[first : first + GROUP]
        status = answered(http.get(f"/info/node/{nodes[0]}")).json()["inventory_state"]["status"]
        action = dice.choice([spec.name for spec in NODE_ACTIONS if status in lifecycle.transition_of(spec).sources])
        kind = dice.choice(["Complete", "Complete", "Complete", "Errored", "Cancelled"])
        extra_vars: dict[str, Any] = {"lines": dice.choice([10, 1000, 5000]), "status": 2 * (kind == "Errored")}
        if kind == "Cancelled":
            extra_vars["until"] = "never"
        body = {"nodes": nodes, "extra_vars": extra_vars, "host_group": "service-master"}
        if action != "commission":
            del body["host_group"]
        job = answered(http.post(f"/{action}/nodes", json=body)).json()["id"]
        counts: list[int] = []
        followers = [threading.Thread(target=self._follow, args=(job, counts)) for _ in range(FOLLOWERS)]
        for follower in followers:
            follower.start()
        if kind == "Cancelled":
            time.sleep(dice.uniform(0, 3))
            answered(http.post(f"/job/{job}/cancel", json={"cleanup": False}))
        for follower in followers:
            follower.join()
        ended = answered(http.get(f"/info/job/{job}", params={"logs": False})).json()
        assert ended["status"] == kind, (ended["status"], kind, ended["error"])
        assert counts == [ended["lines"]] * FOLLOWERS, (counts, ended["lines"])
        assert not ended["log_incomplete"], job
        self.done["jobs"] += 1
        self.done["lines to followers"] += sum(counts)

    def _follow(self, job: int, counts: list[int]) -> None:
        with self._clusterm.http.stream("GET", f"/info/logs/{job}", params={"follow": True}, timeout=60) as answer:
            counts.append(sum(1 for _ in answered(answer).iter_lines()))

    def _storm(self, http: httpx.Client, dice: random.Random) -> None:
        """Let 300 nodes appear and disappear, one event each, as when a switch fails."""
        for name in ("discovered", "disappeared"):
            for number in range(1, 301):
                node = {"label": "storm", "serial": str(number), "addr": f"127.1.{number // 250}.{number % 250 + 1}"}
                event = {"monitor_event": {"name": name, "nodes": [node]}}
                answered(http.post("/monitor/event", json=event))
                self.done["monitor events"] += 1
        self._stopping.wait(dice.uniform(0, 30))

    def _reload(self, _: httpx.Client, dice: random.Random) -> None:
        """Change the retention by SIGHUP; with few jobs kept, each job's end deletes another."""
        self._stopping.wait(dice.uniform(0, 15))
        self._clusterm.config["retention"] = {"jobs": dice.choice([20, 50]), "timeline": dice.choice([200, 1000])}
        self._clusterm.reload()
        self.done["reloads"] += 1

    def _read(self, http: httpx.Client, dice: random.Random) -> None:
        """Read the large answers, and hang up on a follower."""
        paths = ["/info/nodes", "/info/jobs/timeline", "/info/jobs", "/metrics", "/info/status", "/info/job/last"]
        for path in (*paths, "/readyz"):
            answer = http.get(path)
            if path == "/info/job/last" and answer.status_code == HTTPStatus.NOT_FOUND:
                continue  # no job has ended yet
            answered(answer)
            self.done["reads"] += 1
        with http.stream("GET", "/info/logs/active", params={"follow": True}) as answer:
            if answer.is_success:
                next(answer.iter_bytes(), None)
        self._stopping.wait(dice.uniform(0, 1))


def answered(response: httpx.Response) -> httpx.Response:
    """Return a response that must be a success."""
    if not response.is_success:
        response.read()
        raise AssertionError(
            f"{response.request.method} {response.request.url}: {response.status_code} {response.text}"
        )
    return response


def main() -> None:
    """Run the load, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long")
    minutes = parser.parse_args().minutes
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with tempfile.TemporaryDirectory(prefix="clusterm-soak-") as root:
        soak = Soak(Path(root) / "clusterm", stopping)
        if not soak.run(minutes):
            sys.exit(1)


if __name__ == "__main__":
    main()
