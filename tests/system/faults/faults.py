"""Runs a small job once for each call that can fail, with that one fault, and checks what must hold after each.

As a program: `python tests/system/faults/faults.py` tries every call, `--sample 10` every tenth, and
`--role executor --call sync --effect EIO --number 17` one of them once more.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
from support import counted_jobs
from support.service import Clusterm, wait_for
from system.faults.injection import CALLS, ERRORS, ROLES, Fault, Injector, compile_library
from system.faults.power_cut import Disk

from clusterm.common.actions import ACTIONS
from clusterm.enums import Action, Status
from clusterm.nodes import lifecycle
from clusterm.server.check import problems
from clusterm.settings import load
from clusterm.store.engine import Store

NODE: Final = "a-1"
LINES: Final = 40
TRY_TIMEOUT_S: Final = 60.0

PROGRAM: Final = f"""
import pathlib, sys, time

step = {{"site": "configure", "cleanup": "cleanup"}}[pathlib.Path(sys.argv[-1]).stem]
job = pathlib.Path(sys.argv[sys.argv.index("--inventory") + 1]).parent.name
with open("runs", "a") as runs:  # beside the playbooks
    print(job, step, "begun", file=runs)
for number in range(1, {LINES} + 1):
    print(job, step, "number", number, flush=number % 7 == 0)
    if number % 10 == 0:
        time.sleep(0.06)  # longer than the executor waits for more
sys.stdout.flush()
with open("runs", "a") as runs:
    print(job, step, "ended", file=runs)
"""
"""Stands in for ansible-playbook: writes numbered lines, and says in the file `runs` when it begins and ends."""


class Bench:
    """A service in which one fault after another is tried.

    Args:
        root: a directory for everything.
        library: the compiled library.
    """

    def __init__(self, root: Path, library: Path) -> None:
        self._clusterm = Clusterm(root / "clusterm")
        self._clusterm.config["ansible"]["stop_grace"] = 0.5
        self._clusterm.use_program(PROGRAM)
        self._injector = Injector(library, root / "faults", self._clusterm.state_dir)
        self._clusterm.launcher = ["env", *(f"{name}={value}" for name, value in self._injector.environment.items())]
        self._clusterm.start()
        self._clusterm.add_nodes(NODE)

    def close(self) -> None:
        """End all processes."""
        self._injector.disarm()
        self._clusterm.destroy()

    def attempt(self, fault: Fault) -> bool:
        """Run a job with a fault, check everything, and return whether the fault has happened.

        Raises:
            AssertionError: something does not hold.
        """
        clusterm, injector = self._clusterm, self._injector
        status = Status(clusterm.status_of(NODE))
        action = Action.UPDATE if status is Status.ALLOCATED else Action.COMMISSION
        disk = Disk(clusterm.state_dir, injector.directory) if fault.cuts_power else None
        if fault.role == "start":
            clusterm.kill()
        injector.arm(fault)
        deadline = time.monotonic() + TRY_TIMEOUT_S
        accepted: dict[str, Any] | None = None
        key = f"try-{time.monotonic_ns()}"
        while True:
            assert time.monotonic() < deadline, f"it does not end: {self._state()}"
            if injector.is_off:
                assert disk is not None
                self._cut_power(disk, random.Random(str(fault)) if fault.effect == "mixed" else None)
            elif clusterm.process is None or clusterm.process.poll() is not None:
                self._start()
            with contextlib.suppress(httpx.TransportError):
                if accepted is None:
                    accepted = self._begin(action, key)
                elif self._has_ended(accepted):
                    break
            time.sleep(0.02)
        fired = injector.fired
        injector.disarm()
        self._check(fault, accepted["id"], action, status, fired=fired)
        return fired

    def _start(self) -> None:
        """Start the service; the fault may end it, with one line that says why."""
        try:
            self._clusterm.start()
        except AssertionError:
            assert "Traceback" not in self._clusterm.log.read_text(), self._clusterm.log.read_text()

    def _begin(self, action: Action, key: str) -> dict[str, Any] | None:
        """Ask for the job, and return it if it was accepted; a request that fails is repeated with the same key."""
        body = {"nodes": [NODE], "host_group": "service-master"}
        response = self._clusterm.post(f"/{action}/nodes", body, headers={"Idempotency-Key": key}, timeout=10)
        assert response.status_code in {200, 500, 503}, response.text
        return dict(response.json()) if response.status_code == 200 else None

    def _has_ended(self, job: dict[str, Any]) -> bool:
        """Return whether a job has ended, and nothing is left of it."""
        response = self._clusterm.http.get(f"/info/job/{job['id']}", params={"logs": "false"}, timeout=10)
        assert response.status_code in {200, 500, 503}, f"an accepted job is lost: {response.text}"
        if response.status_code != 200 or response.json()["status"] in {"Queued", "Running"}:
            return False
        return not self._clusterm.processes() and not list((self._clusterm.state_dir / "jobs").glob("*"))

    def _cut_power(self, disk: Disk, dice: random.Random | None) -> None:
        """End everything, take what was not written to the disk, and start the service again."""
        self._clusterm.kill()
        wait_for(lambda: not self._kill_processes(), "the end of all processes")
        disk.cut(dice)
        self._injector.switch_on()
        self._clusterm.start()

    def _kill_processes(self) -> bool:
        found = self._clusterm.processes()
        for process in found:
            with contextlib.suppress(Exception):
                process.kill()
        return bool(found)

    def _state(self) -> str:
        clusterm = self._clusterm
        files = [str(file.relative_to(clusterm.state_dir)) for file in (clusterm.state_dir / "jobs").rglob("*")]
        processes = [process.cmdline() for process in clusterm.processes()]
        job = None
        with contextlib.suppress(Exception):
            job = clusterm.job("last")
        return f"{files} {processes} {json.dumps(job)}\n{clusterm.log.read_text()[-6000:]}"

    def _check(self, fault: Fault, job_id: int, action: Action, former: Status, *, fired: bool) -> None:
        job = self._clusterm.job(job_id)
        try:
            self._check_job(fault, job, action, fired=fired)
            self._check_cluster(job, action, former)
        except AssertionError as error:
            error.add_note(json.dumps({**job, "logs": job["logs"][-20:]}, indent=1))
            error.add_note(self._clusterm.log.read_text()[-6000:])
            raise

    def _check_job(self, fault: Fault, job: dict[str, Any], action: Action, *, fired: bool) -> None:
        """Check a job against itself, and against what its steps have done."""
        passed = counted_jobs.check_steps(job, action)
        assert job["status"] in {"Complete", "Errored"}
        harmless = not fired or (fault.effect in {"kill", "tear"} and fault.role != "wrapper")
        assert passed or not harmless, "it was not as planned"

        runs = [(step, what) for number, step, what in self._runs() if number == job["id"]]
        begun = [step for step, what in runs if what == "begun"]
        assert len(begun) == len(set(begun)), "a step was run twice"
        assert set(begun) <= {step["name"] for step in job["steps"]}, "a step was run and is not recorded"
        for step in job["steps"]:
            if step["exit_status"] == 0:
                assert (step["name"], "ended") in runs, "a step is said to have passed and has not ended"

        for step, numbers in counted_jobs.numbers_of_steps(job):
            assert numbers == sorted(set(numbers)), "a line is there twice"
            if not job["log_incomplete"]:
                assert numbers == list(range(1, len(numbers) + 1)), "a line is missing"
                if (step["name"], "ended") in runs:
                    assert len(numbers) == LINES, "lines are missing at the end"
        assert fired or not job["log_incomplete"]

    def _check_cluster(self, job: dict[str, Any], action: Action, former: Status) -> None:
        """Check that nodes, events, logs and files say the same as the job."""
        clusterm = self._clusterm
        passed, begun = job["status"] == "Complete", bool(job["steps"])
        expected = lifecycle.status_after(ACTIONS[action], passed=passed) if begun else former
        assert clusterm.status_of(NODE) == expected
        events = [event for event in clusterm.get("/info/jobs/timeline", limit=1000)["items"] if event["job"]]
        of_job = [(event["node"], event["result"]) for event in events if event["job"] == job["id"]]
        assert of_job == [(NODE, ("pass" if passed else "fail") if begun else None)]
        assert clusterm.http.get("/info/job/active").status_code == 404
        wait_for(lambda: clusterm.http.get("/readyz").status_code == 200, "the service to be ready")
        store = Store(f"sqlite:///{clusterm.database}")
        try:
            assert list(problems(store, load(str(clusterm.root / "clusterm.json")))) == []
        finally:
            store.close()

    def _runs(self) -> list[tuple[int, str, str]]:
        file = self._clusterm.playbooks / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(job), step, what) for job, step, what in map(str.split, lines)]


def effects(call: str) -> tuple[str, ...]:
    """Return what can happen at a call."""
    torn = ("tear",) if call == "write" else ()
    cuts = {"sync": ("cut", "mixed"), "write": ("mixed",), "name": ("cut", "mixed")}.get(call, ())
    return (*ERRORS[call], "kill", *torn, *cuts)


def kinds() -> Iterator[tuple[str, str, str]]:
    """Yield each kind of fault: role, call and effect."""
    for role, call in itertools.product(ROLES, CALLS):
        for effect in effects(call):
            yield role, call, effect


class Tries:
    """Tries faults in a service, and starts another service after a violation.

    Args:
        library: the compiled library.
    """

    def __init__(self, library: Path) -> None:
        self._library = library
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._bench: Bench | None = None

    def attempt(self, fault: Fault) -> tuple[bool, str | None]:
        """Return whether a fault happened, and the violation that it led to."""
        try:
            if self._bench is None:
                self._folder = tempfile.TemporaryDirectory(prefix="clusterm-faults-")
                self._bench = Bench(Path(self._folder.name), self._library)
            return self._bench.attempt(fault), None
        except Exception:  # noqa: BLE001 -- every way to fail counts
            self.close()
            return True, traceback.format_exc()

    def close(self) -> None:
        """End the service."""
        if self._bench is not None:
            self._bench.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._bench = self._folder = None


def run_series(work: tuple[Path, str, str, str, int, int]) -> tuple[str, str, str, int, list[str]]:
    """Try a fault at every n-th call until there is no such call."""
    library, role, call, effect, first, sample = work
    tries, violations = Tries(library), []
    number = 0
    try:
        for number in itertools.count():
            fault = Fault(role, call, effect, first + number * sample)
            fired, violation = tries.attempt(fault)
            if violation:
                violations.append(f"{fault}\n{violation}")
            if not fired:
                break
    finally:
        tries.close()
    return role, call, effect, number, violations


def main() -> None:
    """Try faults, and say how that went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1, metavar="K", help="only every K-th call")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with the N-th call")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count(), help="services at a time")
    parser.add_argument("--role", choices=ROLES)
    parser.add_argument("--call", choices=CALLS)
    parser.add_argument("--effect")
    parser.add_argument("--number", type=int, help="only this one of the calls")
    parser.add_argument("--times", type=int, default=1, help="with --number: how many calls fail from there on")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clusterm-faults-") as folder:
        library = compile_library(Path(folder))
        if arguments.number:
            fault = Fault(arguments.role, arguments.call, arguments.effect, arguments.number, arguments.times)
            tries = Tries(library)
            fired, violation = tries.attempt(fault)
            tries.close()
            print("it happened" if fired else "there was no such call")
            sys.exit(violation)
        wanted = (arguments.role, arguments.call, arguments.effect)
        work = [
            (library, *kind, arguments.first, arguments.sample)
            for kind in kinds()
            if all(given in {None, value} for given, value in zip(wanted, kind, strict=True))
        ]
        total, violated = Counter[str](), []
        with multiprocessing.Pool(arguments.workers, maxtasksperchild=1) as pool:
            for role, call, effect, count, violations in pool.imap_unordered(run_series, work, chunksize=1):
                total[role] += count
                violated += violations
                for violation in violations:
                    print(violation, file=sys.stderr)
                found = f"{len(violations)} VIOLATIONS" if violations else "0 violations"
                print(f"{role:9} {call:7} {effect:7} {count:4} tries  {found}", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{total.total()} tries in {minutes:.0f} min: {len(violated)} violations")
    for violation in violated:
        print(violation.partition("\n")[0])
    sys.exit(bool(violated))


if __name__ == "__main__":
    main()
