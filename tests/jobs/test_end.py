"""A job's end states what ansible did on each node."""

import re
import textwrap
from typing import Any

import psutil
import pytest
from support.service import Clusterm, kill_all, wait_for

A, B, C = NODES = ["a-1", "b-2", "c-3"]
NOTHING = "no play in site.yml is for this node"


@pytest.fixture(scope="module")
def site(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm where nodes pass by themselves."""
    module_clusterm.config["ansible"]["register_discovered"] = False
    module_clusterm.start()
    module_clusterm.add_nodes(*NODES)
    return module_clusterm


def play(text: str, hosts: str = "all") -> str:
    """Return a play with what a text adds to it."""
    head = f"- hosts: {hosts}\n  connection: local\n  gather_facts: false\n"
    return head + textwrap.indent(textwrap.dedent(text), "  ")


def discover(site: Clusterm, playbook: str) -> dict[str, Any]:
    """Run a playbook on the nodes; a discover job changes none of them."""
    site.write_playbook("site.yml", playbook)
    return site.run("discover", NODES)


def statuses(site: Clusterm, job: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Return the tasks of a job with the status of each result."""
    found = site.get(f"/info/job/{job['id']}/tasks", limit=1000)["items"]
    return [(task["task"], {r["node"]: r["status"] for r in task["results"]}) for task in found]


def reasons(job: dict[str, Any]) -> dict[str, str]:
    return {failure["node"]: failure["message"] for failure in job["failures"]}


def details(site: Clusterm, job: dict[str, Any]) -> dict[str, str | None]:
    events = [event for event in site.get("/info/jobs/timeline", limit=1000)["items"] if event["job"] == job["id"]]
    return {event["node"]: event["detail"] for event in events}


def test_a_node_without_a_play_does_not_pass(clusterm: Clusterm) -> None:
    """Neither is it commissioned, discovered nor taken for cleaned up, unless the site wants it."""
    elsewhere = play("tasks: [{name: install, debug: }]", hosts="kube-master")
    clusterm.write_playbook("site.yml", elsewhere)
    clusterm.write_playbook("cleanup.yml", elsewhere)
    clusterm.add_nodes(*NODES)
    job = clusterm.run("commission", [A, B])
    assert (job["status"], job["outcomes"]) == ("Errored", {A: "failed", B: "failed"})
    assert job["error"] == "configure (site.yml) failed: no play in site.yml is for a-1, b-2"
    assert [step["error"] for step in job["steps"]] == [
        job["error"],
        "cleanup (cleanup.yml) failed: no play in cleanup.yml is for a-1, b-2",
    ]
    assert details(clusterm, job) == {A: NOTHING, B: NOTHING}
    assert [clusterm.status_of(node) for node in NODES] == ["Unallocated", "Unallocated", "Unallocated"]
    assert clusterm.run("commission", [A], check=True)["status"] == "Errored"
    assert clusterm.run("decommission", [A])["outcomes"] == {A: "failed"}
    assert clusterm.run("discover", [A])["status"] == "Errored"

    # One of two is left out: without partial success both fail.
    clusterm.write_playbook("site.yml", play("tasks: [{name: install, debug: }]", hosts=A))
    job = clusterm.run("commission", [B, A], limit_batch=1)
    assert job["error"] == "in batch 1: configure (site.yml) failed: no play in site.yml is for b-2"
    assert job["outcomes"] == {B: "failed", A: "not reached"}

    clusterm.config["ansible"]["every_node_needs_a_play"] = False
    clusterm.reload()
    clusterm.write_playbook("site.yml", play("tasks: [{name: install, debug: }]", hosts="localhost"))
    job = clusterm.run("commission", [A, B])
    assert (job["status"], job["outcomes"]) == ("Complete", {A: "passed", B: "passed"})
    assert job["failures"] == job["warnings"] == []


def test_only_the_nodes_of_a_play_pass(site: Clusterm) -> None:
    site.write_playbook(
        "site.yml", play("tasks: [{name: install, fail: {msg: disk full}, when: node_name == 'b-2'}]", "a-1,b-2")
    )
    job = site.run("commission", NODES)
    assert job["outcomes"] == {A: "passed", B: "failed", C: "failed"}
    reason = "configure (site.yml) failed on b-2 (and 1 more): install: disk full"
    assert job["error"] == f"2 of 3 nodes failed: {reason}"
    assert details(site, job) == {A: None, B: "install: disk full", C: NOTHING}
    assert [site.status_of(node) for node in NODES] == ["Allocated", "Unallocated", "Unallocated"]


def test_the_inventory_is_read_whatever_is_enabled(site: Clusterm) -> None:
    config = site.write_playbook(
        "ansible.cfg", "[defaults]\nyaml_valid_extensions = .foo\n[inventory]\nenable_plugins = ini\n"
    )
    try:
        job = discover(
            site, play("tasks: [{meta: refresh_inventory}, {name: show, shell: echo $ANSIBLE_INVENTORY_ENABLED.}]")
        )
    finally:
        config.unlink()
    assert (job["status"], job["outcomes"]) == ("Complete", dict.fromkeys(NODES, "passed"))


def test_a_node_that_fails_for_another_ones_task_names_it(site: Clusterm) -> None:
    job = discover(
        site,
        play(
            """
            tasks:
              - block: [{name: is the database there, command: "false", run_once: true}]
                rescue: [{name: make it, debug: }]
              - {name: last, debug: }
            """
        ),
    )
    assert job["outcomes"] == {A: "passed", B: "failed", C: "failed"}
    assert reasons(job) == dict.fromkeys([B, C], "failed on a-1, which fails this node, too (run_once)")
    assert {failure["task"] for failure in job["failures"]} == {"is the database there"}
    assert job["error"].startswith("2 of 3 nodes failed: configure (site.yml) failed on b-2 (and 1 more): is the data")
    assert statuses(site, job)[0] == ("is the database there", {A: "rescued"})


def test_cleared_and_handled_failures_are_no_failures_of_the_job(site: Clusterm) -> None:
    job = discover(
        site,
        play(
            """
            tasks:
              - {name: bad, command: "false", when: inventory_hostname == "a-1"}
              - meta: clear_host_errors
              - block: [{name: include, include_tasks: missing.yml, when: inventory_hostname == "b-2"}]
                rescue: [{name: repair, debug: }]
            """
        ),
    )
    assert (job["status"], job["outcomes"]) == ("Complete", dict.fromkeys(NODES, "passed"))
    assert job["failures"] == []
    tasks = dict(statuses(site, job))
    assert tasks["bad"] == {A: "cleared", B: "skipped", C: "skipped"}
    assert tasks["include"] == {B: "failed", C: "skipped"}
    assert (job["recap"][A]["failed"], job["recap"][B]["failed"]) == (1, 1)


def test_exit_status_0_is_not_enough_if_a_play_did_not_run(site: Clusterm) -> None:
    """ansible ends so if a missing include fails all nodes of a play in a block with a rescue section."""
    job = discover(
        site,
        play(
            """
            tasks:
              - block: [{name: include, include_tasks: missing.yml}]
                rescue: [{name: repair, debug: }]
            """
        )
        + play("tasks: [{name: install, debug: }]"),
    )
    assert (job["steps"][0]["exit_status"], job["status"]) == (0, "Errored")
    assert job["outcomes"] == dict.fromkeys(NODES, "failed")
    assert job["error"].startswith("configure (site.yml) failed on a-1 (and 2 more): include: ")
    assert "install" not in dict(statuses(site, job))


@pytest.mark.both_stores
def test_a_stopped_job_and_a_killed_executor_have_the_failures_that_were(site: Clusterm) -> None:
    """In the middle of a rescue section, with the strategy free: nothing that was rescued counts, and one is busy."""
    site.write_playbook(
        "site.yml",
        play(
            """
            strategy: free
            tasks:
              - block:
                  - {name: deploy, command: "false", when: inventory_hostname == "a-1"}
                  - {name: check, command: "false"}
                rescue:
                  - {name: repair, debug: }
                  - {name: wait, wait_for: {path: /never}, when: inventory_hostname == "a-1"}
              - {name: broken, fail: {msg: disk full}, when: inventory_hostname == "b-2"}
            """
        ),
    )
    job = site.begin("discover", NODES)

    def current() -> dict[str, Any]:
        return site.job(job["id"], logs=False)

    wait_for(lambda: [f["node"] for f in current()["failures"]] == [B], "the failure of b-2")
    wait_for(lambda: [b["node"] for b in (current()["current"] or {"busy": []})["busy"]] == [A], "the last busy node")
    for executor in site.executors():
        executor.kill()
        psutil.wait_procs([executor])
    wait_for(site.executors, "another executor")
    assert [(busy["node"], busy["task"]) for busy in current()["current"]["busy"]] == [(A, "wait")]
    kill_all(site.executors())
    assert site.post(f"/job/{job['id']}/cancel", {}).status_code == 200
    ended = site.ended(job)
    assert ended["status"] == "Cancelled"
    found = reasons(ended)
    assert found.pop(B) == "disk full"
    tasks = statuses(site, job)
    assert [name for name, _ in tasks] == ["deploy", "check", "repair", "wait", "broken"]
    assert dict(tasks)["deploy"] == {A: "rescued", B: "skipped", C: "skipped"}
    assert dict(tasks)["check"] == {B: "rescued", C: "rescued"}
    if dict(tasks)["wait"][A] != "failed":  # ansible may report it before it ends
        assert re.fullmatch(r"busy for \d+ s when the job was stopped", found[A])
