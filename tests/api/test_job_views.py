"""What a person sees of a running job, of its tasks, and of what is different between two jobs."""

import os
import pty
import re
import select
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.factories import JOB, printed, wire
from support.programs import PLAYBOOK, PROBE
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm

from clusterctl.output.output import Document
from clusterctl.views import jobs as job_views
from clusterm.enums import JobStatus
from clusterm.schemas import BusyNode, JobDiff, JobProgress, Page, Task, TaskResult
from clusterm.schemas import DurationChange as Slower
from clusterm.schemas import ResultChange as Change

NOW = datetime.now(UTC)


def result(node: str, status: str | None, line: int | None = None) -> TaskResult:
    values = {"node": node, "status": status, "retries": 0, "message": None, "first_line": line, "last_line": line}
    return TaskResult.model_validate({**values, "started_at": NOW, "finished_at": NOW})


def shown(text: str) -> list[str]:
    """Return lines without what depends on the time."""
    return [re.sub(r"\d+\.\d s|\d+ min \d+ s", "<span>", line) for line in text.splitlines()]


def test_a_running_job_says_what_it_waits_for() -> None:
    busy = [BusyNode(node=f"node{n}", task="format\ndisks", since=NOW - timedelta(minutes=2)) for n in (1, 2, 3, 4)]
    current = JobProgress(step="configure", play="all", task="format\ndisks", started_at=NOW, busy=busy)
    job = wire(JOB.model_copy(update={"status": JobStatus.RUNNING, "current": current, "failures": [], "recap": {}}))
    lines = shown(printed(Document({**job, "logs": None}, job_views.job)))
    waits = "configure: format disks, waiting for node1, node2, node3 and 1 more, for <span>"
    assert [line for line in lines if line.startswith("Task")] == [f"Task          {waits}"]
    assert lines[-5:-3] == ["BUSY NODE  TASK          FOR", "node1      format disks  <span>"]
    assert shown(job_views.job_progress(job)) == [waits]

    early = JobProgress(step="cleanup", play=None, task=None, started_at=None, busy=[])
    assert job_views.job_progress(wire(JOB.model_copy(update={"current": early}))) == "cleanup: starting ansible"
    assert job_views.job_progress(wire(JOB)) == ""


def test_tasks() -> None:
    times = {"started_at": NOW, "finished_at": NOW + timedelta(seconds=90)}
    about: dict[str, Any] = {"number": 1, "step": "configure", "play": "all", "path": None}
    bad = [result("node1", "failed", 7), result("node2", "ok", 3), result("node3", None), result("node4", "ok", 5)]
    tasks = [
        Task(**about, **times, task="format", results=bad),
        Task(**about, started_at=NOW, finished_at=None, task="mount", results=[]),
    ]
    assert printed(Document(wire(Page[Task].last(tasks)), job_views.tasks)).splitlines() == [
        "STEP       PLAY  TASK    DURATION    RESULTS                                      LINE",
        "configure  all   format  1 min 30 s  failed: node1, 2 ok, busy or cut off: node3  7",
        "configure  all   mount",
    ]
    assert printed(Document(wire(Page[Task].last([])), job_views.tasks)) == ""


def test_what_is_different() -> None:
    about: dict[str, Any] = {"step": "configure", "play": "all", "task": "mount"}
    failing = Change(**about, node="node1", before=None, after="failed", message="no\ndisk", line=7)
    changed = Change(**about, node="node2", before="ok", after="changed", message=None, line=None)
    diff = JobDiff(
        before=1, after=2, failing=[failing], changed=[changed], slower=[Slower(**about, before=1.25, after=75)]
    )
    assert printed(Document(wire(diff), job_views.diff)).splitlines() == [
        "WHAT     NODE   STEP       TASK   BEFORE       AFTER       MESSAGE  LINE",
        "fails    node1  configure  mount  not reached  failed      no disk  7",
        "changes  node2  configure  mount  ok           changed",
        "slower          configure  mount  1.2 s        1 min 15 s",
    ]


@pytest.fixture(scope="module")
def site(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with a job that has failed."""
    module_clusterm.write_playbook("site.yml", PLAYBOOK)
    module_clusterm.write_playbook("probe.yml", PROBE)
    module_clusterm.start()
    module_clusterm.add_nodes("a-1", "b-2")
    module_clusterm.run("commission", ["a-1", "b-2"], extra_vars={"broken": True, "word": "x"})
    return module_clusterm


def test_the_commands(site: Clusterm) -> None:
    got = site.clusterctl("job", "get", "--no-logs").stdout
    assert "RESULT" in got
    assert "PLAY [" not in got
    _, failed = site.clusterctl("job", "tasks", "1", "--status", "failed", "--node", "b-2").stdout.splitlines()
    assert re.fullmatch(r"configure +Provision +Mount +\S+ s +failed: b-2 +\d+", failed)
    slowest = site.clusterctl("--output", "jsonl", "job", "tasks", "--slowest", "2").stdout.splitlines()
    assert len(slowest) == 2
    nothing = site.clusterctl("job", "tasks", "--task", "no such")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "no such tasks\n")
    same = site.clusterctl("job", "diff", "1", "last")
    assert (same.returncode, same.stdout) == (0, "")
    assert same.stderr.startswith("no task fails, changes or is much slower in job 1 ")
    assert site.clusterctl("job", "diff", "1", "7").returncode == 1
    assert site.clusterctl("job", "diff", "1").returncode == 2
    assert site.clusterctl("--json", "job", "diff", "1", "1").returncode == 2
    assert '"failing": []' in site.clusterctl("job", "diff", "1", "1", "--json").stdout


def test_progress_is_shown_on_a_terminal_and_gone_before_anything_else(site: Clusterm) -> None:
    go_on = site.root / "go_on"
    job = site.begin("discover", ["127.0.3.1", "b-2"], extra_vars={"until": str(go_on), "word": "x"})
    master, slave = pty.openpty()
    command = [str(BIN / "clusterctl"), "job", "get", str(job["id"]), "--follow"]
    with subprocess.Popen(
        command, env={**os.environ, "CLUSTERM_URL": str(site.http.base_url)}, stdout=subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        screen = b""
        while b"configure: Wait, waiting for b-2, for" not in screen:
            assert select.select([master], [], [], WAIT_TIMEOUT_S)[0], screen
            screen += os.read(master, 65536)
        go_on.touch()
        out, _ = process.communicate(timeout=WAIT_TIMEOUT_S)
        while select.select([master], [], [], 0)[0]:
            try:
                screen += os.read(master, 65536)
            except OSError:
                break  # Linux says so when nobody has the other end open any more
    os.close(master)
    *progress, said = screen.decode().split("\r\x1b[K")
    assert said == f"job {job['id']} ended Complete\r\n"
    assert all("\n" not in text for text in progress)
    assert b"\x1b" not in out
    assert b"PLAY RECAP" in out
