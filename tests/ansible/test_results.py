"""The results of tasks, as the store has them after real runs, and what is made of them."""

import re
import signal
import sqlite3
from contextlib import closing
from typing import Any

import psutil
import pytest
from support.programs import PLAYBOOK, PROBE
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

A, B = NODES = ["a-1", "b-2"]


@pytest.fixture(scope="module")
def site(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with a playbook that has something of everything; a failed job leaves no node commissioned."""
    module_clusterm.config["manager"]["partial_success"] = False
    module_clusterm.write_playbook("site.yml", PLAYBOOK)
    module_clusterm.write_playbook("probe.yml", PROBE)
    module_clusterm.start()
    module_clusterm.add_nodes(*NODES)
    return module_clusterm


@pytest.fixture(scope="module")
def failed(site: Clusterm) -> dict[str, Any]:
    """A job that failed on one of its nodes."""
    return site.run("commission", NODES, extra_vars={"broken": True, "word": "hunter2"})


def tasks(clusterm: Clusterm, job: dict[str, Any], **parameters: Any) -> list[dict[str, Any]]:
    """Return all tasks of a job, page by page."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = clusterm.get(f"/info/job/{job['id']}/tasks", **parameters, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def statuses(found: list[dict[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    return [(task["task"], {result["node"]: result["status"] for result in task["results"]}) for task in found]


def test_every_result_is_stored(site: Clusterm, failed: dict[str, Any]) -> None:
    found = tasks(site, failed, limit=2)
    configure = [task for task in found if task["step"] == "configure"]
    assert statuses(configure) == [
        ("Say hello", {A: "ok", B: "ok"}),
        ("Ask twice", {A: "ignored", B: "skipped"}),
        ("Probe", {A: "ok", B: "ok"}),
        ("Probe more", {A: "rescued", B: "changed"}),
        ("Tidy up", {A: "ok", B: "ok"}),
        ("Repair", {A: "changed"}),
        ("Set a password", {A: "changed", B: "changed"}),
        ("Say hello", {A: "ok", B: "ok"}),
        ("Wait", {A: "skipped", B: "skipped"}),
        ("Mount", {A: "skipped", B: "failed"}),
    ]
    assert [task["task"] for task in found if task["step"] == "cleanup"] == ["Say hello"]
    assert {task["play"] for task in configure} == {"Provision"}
    assert configure[0]["path"].endswith("/site.yml:7")
    assert configure[3]["path"].endswith("/probe.yml:2")
    for task in found:
        assert task["started_at"] <= task["finished_at"] <= failed["finished_at"]
        assert all(task["started_at"] <= r["started_at"] <= r["finished_at"] for r in task["results"])
    asked, mounted = configure[1]["results"][0], configure[9]["results"][1]
    assert asked["retries"] == 2
    assert "RETRYING" in failed["logs"][asked["first_line"] - 1]
    assert asked["first_line"] + 2 <= asked["last_line"]
    assert "hunter2" in mounted["message"]
    assert failed["failures"][0]["line"] == mounted["first_line"]
    assert [f["node"] for f in failed["failures"]] == [B]
    lines = failed["logs"][mounted["first_line"] - 1 : mounted["last_line"]]
    assert any("fatal: [b-2]" in line for line in lines)
    assert failed["current"] is None


@pytest.mark.parametrize("lock", ["", "BEGIN IMMEDIATE"], ids=["free", "locked"])
def test_nodes_that_are_busy_when_a_job_is_stopped_have_failed_at_their_task(site: Clusterm, lock: str) -> None:
    job = site.begin("commission", NODES, extra_vars={"until": "/nowhere", "word": "x"})
    wait_for(lambda: [busy["task"] for busy in _busy(site, job)] == ["Wait"], "the task that hangs")
    progress = site.job(job["id"], logs=False)["current"]
    assert (progress["number"], progress["failed"]) == (9, 0)
    assert site.process is not None
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute(lock)
        site.post(f"/job/{job['id']}/cancel", {"cleanup": False}, timeout=WAIT_TIMEOUT_S)
        if lock:
            site.process.send_signal(signal.SIGSTOP)  # so that the executor is alone to record the stop
            wait_for(lambda: not site.programs(), "ansible to be stopped")
    wait_for(lambda: not site.executors(), "the end of the job")
    site.process.send_signal(signal.SIGCONT)
    stopped = site.ended(job)
    assert stopped["status"] == "Cancelled"
    assert len(stopped["failures"]) == 1, stopped["failures"]
    (failure,) = stopped["failures"]
    assert (failure["node"], failure["step"], failure["play"], failure["task"]) == (B, "configure", "Provision", "Wait")
    assert re.fullmatch(r"busy for \d+ s when the job was stopped", failure["message"])
    assert "Wait: busy for" in site.clusterctl("node", "events", B).stdout


def _busy(clusterm: Clusterm, job: dict[str, Any]) -> list[dict[str, Any]]:
    current = clusterm.job(job["id"], logs=False)["current"]
    return list(current["busy"]) if current else []


def test_results_can_be_chosen(site: Clusterm, failed: dict[str, Any]) -> None:
    assert statuses(tasks(site, failed, status="rescued")) == [("Probe more", {A: "rescued"})]
    assert statuses(tasks(site, failed, node=B, task="PROBE", limit=1)) == [
        ("Probe", {B: "ok"}),
        ("Probe more", {B: "changed"}),
    ]
    assert tasks(site, failed, task="%") == tasks(site, failed, node="c-3") == []
    assert site.http.get("/info/job/last/tasks", params={"status": "great"}).status_code == 422
    assert site.http.get("/info/job/last/tasks", params={"cursor": "-1"}).status_code == 400
    assert site.http.get("/info/job/999/tasks").status_code == 404


def test_jobs_are_compared(site: Clusterm, failed: dict[str, Any]) -> None:
    later = site.run("commission", NODES, extra_vars={"changes": True, "pause": 6, "word": "x"})
    assert later["status"] == "Complete"
    diff = site.get(f"/info/job/{failed['id']}/diff/{later['id']}")
    assert diff["failing"] == []
    assert {(c["node"], c["task"], c["before"], c["after"]) for c in diff["changed"]} == {
        (A, "Say hello", "ok", "changed"),
        (B, "Say hello", "ok", "changed"),
    }
    [slower] = diff["slower"]
    assert (slower["task"], slower["after"] > 6 > slower["before"]) == ("Say hello", True)
    [failing] = site.get(f"/info/job/{later['id']}/diff/{failed['id']}")["failing"]
    assert (failing["node"], failing["task"], failing["before"]) == (B, "Mount", "skipped")
    assert failing["line"] == failed["failures"][0]["line"]


def test_a_running_job_tells_who_is_busy_and_one_that_is_cut_off_keeps_it(site: Clusterm) -> None:
    job = site.begin("discover", NODES, extra_vars={"until": str(site.root / "never"), "word": "x"})

    def waiting() -> bool:
        current = site.job(job["id"], logs=False)["current"]
        return bool(current) and [(b["node"], b["task"]) for b in current["busy"]] == [(B, "Wait")]

    wait_for(waiting, "the task that waits")
    current = site.job(job["id"], logs=False)["current"]
    assert (current["step"], current["play"], current["task"]) == ("configure", "Provision", "Wait")
    assert current["busy"][0]["since"] >= current["started_at"]

    for executor in site.executors():  # another one goes on with what this one knew
        executor.kill()
        psutil.wait_procs([executor])
    wait_for(site.executors, "another executor")
    for process in [*site.wrappers(), *site.programs()]:
        process.send_signal(signal.SIGKILL)
    ended = site.ended(job)
    assert ended["status"] == "Errored"
    assert ended["current"] is None
    *_, last = tasks(site, job, task="wait")
    assert statuses([last]) == [("Wait", {A: "skipped", B: None})]
    assert last["results"][1]["finished_at"] is None


def test_results_go_on_with_another_executor(site: Clusterm) -> None:
    go_on = site.root / "go_on"
    job = site.begin("discover", NODES, extra_vars={"until": str(go_on), "word": "x"})
    wait_for(lambda: any(task["task"] == "Wait" for task in tasks(site, job)), "the task that waits")
    for executor in site.executors():
        executor.kill()
        psutil.wait_procs([executor])
    go_on.touch()
    assert site.ended(job)["status"] == "Complete"
    found = statuses(tasks(site, job))
    assert found[-2:] == [("Wait", {A: "skipped", B: "ok"}), ("Mount", {A: "skipped", B: "skipped"})]
    assert len(found) == 10


HOSTILE = """
import json, os, sys
nonce = os.environ["CLUSTERM_NONCE"]
def write(record):
    print("said before")
    print(f"\\x1e{nonce} {record if isinstance(record, str) else json.dumps(record)}")
about = {"number": 1, "play": "p", "task": "t", "node": "a-1"}
write({**about, "event": "result", "status": "ok"})
for record in (
    "[]", "{}", "null", "{", '{"event": 1}', '{"event": NaN}',
    {"event": "result"},
    {"event": "result", "status": "great"},
    {**about, "event": "result", "status": ["failed"]},
    {**about, "event": "result", "status": "failed", "message": 7},
    {**about, "event": "result", "status": "failed", "message": "x" * 20_000},
    {**about, "event": "task", "number": -1},
    {**about, "event": "task", "number": 10**30},
    {**about, "event": "task", "number": True},
    {**about, "event": "start", "node": {}},
    {"event": "start", "number": 1, "node": "a-1"},
    {"event": "stats", "recap": []},
    {"event": "stats", "recap": {"a-1": {"failed": "many"}}},
    {"event": "stats", "recap": {"a-1": 3}, "nodes": "all"},
    {"event": "stats", "recap": {"a-1": {"failed": -1}}, "nodes": {"a-1": "great"}},
    {"event": "stats", "recap": {"a-1": {}}, "nodes": {"a-1": "unfinished", "b-2": "passed", "stranger": "passed"}},
    {**about, "event": "result", "number": 2**31 - 1, "status": "changed"},
    {**about, "event": "never heard of", "number": 5},
    {"event": "error", "message": "a defect"},
    {"event": "error", "message": "a defect"},
    '{"a":' * 2000,
):
    write(record)
sys.exit(2)
"""


def test_no_record_stops_the_reading(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(HOSTILE)
    new_clusterm.start()
    new_clusterm.add_nodes(*NODES)
    job = new_clusterm.run("discover", NODES)
    reason = "configure (site.yml) failed: ansible-playbook ended with exit status 2"
    assert job["error"] == f"1 of 2 nodes failed: {reason}"
    assert job["logs"].count("said before") == 27
    warning = "clusterm's callback plugin failed in configure (site.yml): a defect"
    assert job["warnings"] == [warning]
    assert job["logs"].count(f"[clusterm: {warning}]") == 1
    assert statuses(tasks(new_clusterm, job)) == [("t", {A: "ok"}), ("t", {}), ("t", {A: "changed"})]
    assert job["outcomes"] == {A: "failed", B: "passed"}


def test_without_the_plugin_all_but_the_records_works(new_clusterm: Clusterm, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ansible that refuses to load it, as one too old or too new would."""
    new_clusterm.write_playbook("site.yml", PLAYBOOK.replace("Provision", "Provision all"))
    new_clusterm.write_playbook("probe.yml", PROBE)
    shim = new_clusterm.root / "site-packages"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if sys.argv[0].endswith('ansible-playbook'):\n"
        "    path = os.environ['ANSIBLE_CALLBACK_PLUGINS'].rpartition(':')[2]\n"
        "    import importlib.machinery as machinery\n"
        "    get_code = machinery.SourceFileLoader.get_code\n"
        "    def refuse(self, name):\n"
        "        if self.path.startswith(path):\n"
        "            raise ImportError('not with this ansible')\n"
        "        return get_code(self, name)\n"
        "    machinery.SourceFileLoader.get_code = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(shim))
    new_clusterm.start()
    new_clusterm.add_nodes(*NODES)
    job = new_clusterm.run("commission", NODES, extra_vars={"broken": True, "word": "x"})
    assert any("not with this ansible" in line for line in job["logs"])
    assert any("fatal: [b-2]" in line for line in job["logs"])
    assert job["status"] == "Errored"
    assert job["error"].startswith("configure (site.yml) failed: ")
    assert (job["failures"], job["recap"], tasks(new_clusterm, job)) == ([], {}, [])
    assert job["outcomes"] == {A: "failed", B: "failed"}
    assert [new_clusterm.status_of(node) for node in NODES] == ["Unallocated"] * 2
    done = new_clusterm.run("commission", NODES, extra_vars={"word": "x"})
    assert (done["status"], done["outcomes"]) == ("Complete", {A: "passed", B: "passed"})
    assert "the results of configure (site.yml) are not known" in done["warnings"][0]
    assert "Warnings" in new_clusterm.clusterctl("job", "get", str(done["id"])).stdout
