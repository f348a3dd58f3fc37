"""Runs real jobs while processes are killed at random moments, and then checks what must hold whatever dies.

As a program it runs many rounds, `python tests/chaos.py --rounds 50`, or one of them once more, `--seed 7`. The seed
decides what is run and what is killed; where exactly a process is when it dies, the machine decides.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Final

import psutil
from support import counted_jobs, rules
from support.service import Clusterm, wait_for

from clusterm.common.actions import ACTIONS, NODE_ACTIONS
from clusterm.enums import Status, StepName
from clusterm.nodes import lifecycle

JOBS: Final = 2
NODES: Final = ["a-1", "a-2"]
LINES: Final = 500
ANSIBLE_LINES: Final = 100  # ansible takes longer for each

PROGRAM: Final = f"""
import json, pathlib, sys, time

def argument(option):
    return pathlib.Path(sys.argv[sys.argv.index(option) + 1].removeprefix("@"))

step = {{"site": "configure", "cleanup": "cleanup"}}[pathlib.Path(sys.argv[-1]).stem]
job = argument("--inventory").parent.name
with open("runs", "a") as runs:  # beside the playbooks
    print(job, step, file=runs)
for number in range(1, {LINES} + 1):
    print(job, step, "number", number, flush=number % 7 == 0)
    time.sleep(0.004)
fail = json.loads(argument("--extra-vars").read_text())["fail"]
sys.exit(2 if {{"__ansible_unsafe": step}} in fail else 0)
"""
"""Stands in for ansible-playbook: says in the file `runs` that it was started, then writes numbered lines."""

PLAYBOOK: Final = """
- hosts: all
  connection: local
  gather_facts: false
  vars:
    job: "{{ inventory_file | dirname | basename }}"
  tasks:
    - name: Say that this step was started
      ansible.builtin.shell: echo {{ job }} STEP >>runs
      args:
        chdir: "{{ playbook_dir }}"
      run_once: true
    - name: Count
      ansible.builtin.debug:
        msg: "{{ job }} STEP number {{ item }}"
      loop: "{{ range(1, LINES + 1) | list }}"
      loop_control:
        label: ""
      run_once: true
    - name: Fail where that is wanted
      ansible.builtin.assert:
        that: "'STEP' not in fail"
"""


class Round:
    """One clusterm, a few jobs, and much bad luck.

    Args:
        seed: decides what happens.
        root: a directory for everything.
    """

    def __init__(self, seed: int, root: Path) -> None:
        self._dice = random.Random(seed)
        self._clusterm = Clusterm(root)
        self._clusterm.config["ansible"]["stop_grace"] = 0.5
        self._clusterm.config["manager"]["partial_success"] = False  # all nodes say the same as the job
        self._kills_wrappers = self._dice.random() < 0.4
        self._real_ansible = self._dice.random() < 0.3
        if self._real_ansible:
            for file, step in (("site.yml", "configure"), ("cleanup.yml", "cleanup")):
                playbook = PLAYBOOK.replace("STEP", step).replace("LINES", str(ANSIBLE_LINES))
                self._clusterm.write_playbook(file, playbook)
        else:
            self._clusterm.use_program(PROGRAM)

    def run(self, jobs: int) -> None:
        """Run so many jobs, and check after each that all is as it must be."""
        try:
            self._clusterm.start()
            self._clusterm.add_nodes(*NODES)
            for _ in range(jobs):
                self._run_job()
        finally:
            self._clusterm.destroy()

    def _run_job(self) -> None:
        clusterm, dice = self._clusterm, self._dice
        status = clusterm.status_of(NODES[0])
        action = dice.choice([spec.name for spec in NODE_ACTIONS if status in lifecycle.transition_of(spec).sources])
        fail = [str(step) for step in StepName if dice.random() < 0.3]
        cancel_after = dice.randint(1, 8)  # kills; mostly too many to come to it
        job = clusterm.begin(action, NODES, extra_vars={"fail": fail})
        killed: set[str] = set()
        cancelled = False
        for number in range(1, dice.randint(1, 5) + 1):
            time.sleep(dice.choice([0, dice.uniform(0, 1), dice.uniform(0.5, 3)]))
            if clusterm.job(job["id"], logs=False)["status"] != "Running":
                break
            killed.update(self._kill_some())
            if number == cancel_after:
                answer = clusterm.post(f"/job/{job['id']}/cancel", {"cleanup": dice.random() < 0.7})
                cancelled = answer.status_code == 200
        job = clusterm.ended(job)
        try:
            self._check_job(job, action, fail, lost="wrapper" in killed, cancelled=cancelled)
            self._check_cluster(job, action, former=Status(status))
        except AssertionError as error:
            kinds = f"killed: {sorted(killed)}, cancelled: {cancelled}, to fail: {fail}"
            error.add_note(f"{kinds}\n{json.dumps({**job, 'logs': job['logs'][-20:]}, indent=1)}")
            raise

    def _kill_some(self) -> list[str]:
        """Kill what the dice say, one after the other, and start the service again if it was among them."""
        victims = [["service"], ["executor"], ["service", "executor"], ["executor", "service"]]
        if self._kills_wrappers:
            victims += [["wrapper"], ["wrapper", "executor"], ["executor", "service", "wrapper"]]
        names = self._dice.choice(victims)
        for name in names:
            if name == "service":
                self._clusterm.kill()
            for process in {"executor": self._clusterm.executors, "wrapper": self._clusterm.wrappers}.get(name, list)():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        if "service" in names:
            time.sleep(self._dice.choice([0, self._dice.uniform(0, 2)]))
            self._clusterm.start()
        return names

    def _check_job(self, job: dict[str, Any], action: str, fail: list[str], *, lost: bool, cancelled: bool) -> None:
        """Check a job against itself and against what its steps have done.

        Args:
            job: the job.
            action: its action.
            fail: the steps that were to fail.
            lost: whether a wrapper was killed, and so maybe an exit status lost, or with ansible's end the last output.
            cancelled: whether it was cancelled.
        """
        as_planned = not lost and not cancelled
        steps = job["steps"]
        passed = counted_jobs.check_steps(job, action)
        if as_planned:
            assert passed or rules.next_step(action, job["nodes"], counted_jobs.done_steps(job)) is None
            assert [step["exit_status"] for step in steps] == [2 if step["name"] in fail else 0 for step in steps]
        assert job["status"] in ({"Complete", "Cancelled"} if cancelled else {"Complete", "Errored"})

        runs = [step for number, step in self._runs() if number == job["id"]]
        expected = [step["name"] for step in steps]
        assert runs == expected or (not as_planned and len(runs) < len(expected) and is_part_of(runs, expected))

        assert lost or job["log_incomplete"] is False
        for step, numbers in counted_jobs.numbers_of_steps(job):
            assert numbers == list(range(1, len(numbers) + 1)), f"{step['name']}: a line is missing, or there twice"
            if as_planned:
                assert len(numbers) == (ANSIBLE_LINES if self._real_ansible else LINES)

    def _check_cluster(self, job: dict[str, Any], action: str, *, former: Status) -> None:
        """Check that nodes and events say the same as the job, and that nothing is left of it.

        Args:
            job: the job.
            action: its action.
            former: the status of its nodes before the job.
        """
        clusterm = self._clusterm
        passed, begun = job["status"] == "Complete", bool(job["steps"])
        for node in NODES:
            expected = lifecycle.status_after(ACTIONS[action], passed=passed) if begun else former
            assert clusterm.status_of(node) == expected
        events = [event for event in clusterm.get("/info/jobs/timeline", limit=1000)["items"] if event["job"]]
        of_job = [(event["node"], event["result"]) for event in events if event["job"] == job["id"]]
        result = ("pass" if passed else "fail") if begun else None
        assert of_job == [(node, result) for node in NODES]
        assert [event["job"] for event in events] == sorted(event["job"] for event in events)
        assert clusterm.job("last", logs=False)["id"] == job["id"]
        assert clusterm.http.get("/info/job/active").status_code == 404
        wait_for(lambda: not clusterm.processes(), "the job's processes to end")
        wait_for(lambda: not list((clusterm.state_dir / "jobs").iterdir()), "the job's directory to go")

    def _runs(self) -> list[tuple[int, str]]:
        """Return the steps that were started, in order, each with its job."""
        file = self._clusterm.playbooks / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(job), step) for job, step in map(str.split, lines)]


def is_part_of(some: list[str], whole: list[str]) -> bool:
    """Tell whether items are found in a list in the same order."""
    rest = iter(whole)
    return all(item in rest for item in some)


def main() -> None:
    """Run rounds, and say how they went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how many")
    parser.add_argument("--seed", type=int, help="of one round to run once more")
    arguments = parser.parse_args()
    first = random.randrange(10**6) if arguments.seed is None else arguments.seed
    failed = []
    seeds = range(first, first + (arguments.rounds if arguments.seed is None else 1))
    for number, seed in enumerate(seeds, start=1):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="clusterm-chaos-") as root:
            try:
                Round(seed, Path(root) / "clusterm").run(JOBS)
            except Exception:  # noqa: BLE001 -- every way to fail counts
                traceback.print_exc()
                failed.append(seed)
        result = "FAILED" if seed in failed else "passed"
        print(f"round {number} of {len(seeds)}  seed {seed}  {result}  {time.monotonic() - began:.0f} s", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(f'--seed {seed}' for seed in failed)}")


if __name__ == "__main__":
    main()
