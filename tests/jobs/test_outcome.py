"""What becomes of each node of a job in which some fail."""

from typing import Any

import psutil
import pytest
from support.service import Clusterm, wait_for

A, B, C = NODES = ["a-1", "b-2", "c-3"]

CONFIGURE = """
- name: Provision
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Look for the disk
      ansible.builtin.fail:
        msg: disk /dev/sdb is missing
      when: node_name in (broken | default([]))
    - name: Format it
      ansible.builtin.debug:
"""

CLEANUP = """
- name: Clean up
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Wait
      ansible.builtin.wait_for:
        path: "{{ until }}"
      when: until is defined
    - name: Wipe
      ansible.builtin.debug:
        msg: "wiping {{ node_name }}"
      failed_when: node_name in (stuck | default([]))
"""

LAST = """
- name: Finish
  hosts: {hosts}
  connection: local
  gather_facts: false
  tasks:
    - name: Finish
      ansible.builtin.command: {command}
"""

RESCUED = """
- name: Provision
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.fail:
          when: node_name in broken
      rescue:
        - ansible.builtin.debug:
    - ansible.builtin.fail:
        msg: this one stays
      when: node_name == "127.0.2.3"
"""


@pytest.fixture(scope="module")
def partial(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm where nodes pass by themselves."""
    module_clusterm.config["ansible"]["register_discovered"] = False
    module_clusterm.start()
    module_clusterm.add_nodes(*NODES)
    return module_clusterm


def events(clusterm: Clusterm, job: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return result and detail of the events of a job, by node or address."""
    found = [event for event in clusterm.get("/info/jobs/timeline", limit=1000)["items"] if event["job"] == job["id"]]
    return {event["node"] or event["detail"].partition(":")[0]: (event["result"], event["detail"]) for event in found}


def statuses(clusterm: Clusterm) -> list[str]:
    return [clusterm.status_of(node) for node in NODES]


def wiped(job: dict[str, Any], step: int) -> list[str]:
    """Return the nodes that a cleanup step ran on."""
    starts = [*(step["first_line"] for step in job["steps"]), job["lines"] + 1]
    lines = job["logs"][starts[step - 1] - 1 : starts[step] - 1]
    return [node for node in NODES if any(f"wiping {node}" in line for line in lines)]


def test_without_partial_success_a_failed_job_fails_its_nodes_and_each_says_why(new_clusterm: Clusterm) -> None:
    new_clusterm.config["manager"]["partial_success"] = False
    clusterm = new_clusterm.start()
    clusterm.write_playbook("site.yml", CONFIGURE)
    clusterm.write_playbook("cleanup.yml", CLEANUP)
    clusterm.add_nodes(*NODES)
    job = clusterm.run("commission", NODES, extra_vars={"broken": [B], "stuck": [C]})
    assert job["error"] == "configure (site.yml) failed on b-2: Look for the disk: disk /dev/sdb is missing"
    assert wiped(job, 2) == NODES
    assert job["outcomes"] == {A: "undone", B: "failed", C: "failed"}
    assert statuses(clusterm) == ["Unallocated"] * 3
    assert events(clusterm, job) == {
        A: ("fail", f"undone: it passed itself, but the job did not: {job['error']}"),
        B: ("fail", "Look for the disk: disk /dev/sdb is missing"),
        C: ("fail", "Wipe: wiping c-3"),
    }
    again = clusterm.ended(clusterm.post(f"/job/{job['id']}/retry", {"failed_only": True}).json())
    assert again["nodes"] == NODES


def test_nodes_pass_by_themselves(partial: Clusterm) -> None:
    """Through all actions; the cleanup after a failure is for those that failed, also with another executor."""
    partial.write_playbook("site.yml", CONFIGURE)
    partial.write_playbook("cleanup.yml", CLEANUP)
    go_on = partial.root / "go_on"

    job = partial.begin("commission", NODES, extra_vars={"broken": [B], "until": str(go_on)})
    wait_for(lambda: len(partial.job(job["id"], logs=False)["steps"]) == 2, "the cleanup")
    for executor in wait_for(partial.executors, "the executor"):
        executor.kill()
        psutil.wait_procs([executor])
    go_on.touch()
    job = partial.ended(job)
    reason = "Look for the disk: disk /dev/sdb is missing"
    assert job["status"] == "Errored"
    assert job["error"] == f"1 of 3 nodes failed: configure (site.yml) failed on b-2: {reason}"
    assert wiped(job, 2) == [B]
    assert statuses(partial) == ["Allocated", "Unallocated", "Allocated"]
    assert events(partial, job) == {A: ("pass", None), B: ("fail", reason), C: ("pass", None)}

    # The one that failed alone is tried again, with what has been mended.
    partial.write_playbook("site.yml", CONFIGURE.replace("broken |", "mended |"))
    job = partial.ended(partial.post(f"/job/{job['id']}/retry", {"failed_only": True}).json())
    assert (job["nodes"], job["status"]) == ([B], "Complete")
    partial.write_playbook("site.yml", CONFIGURE)

    # A node that fails the first step takes no part in the second; one that fails the second is cleaned up after.
    job = partial.run("update", NODES, extra_vars={"stuck": [A], "broken": [A, B]})
    assert job["error"].startswith("2 of 3 nodes failed: cleanup (cleanup.yml) failed on a-1: Wipe: ")
    assert [failure["node"] for failure in job["failures"]] == [A, B]
    assert [step["name"] for step in job["steps"]] == ["cleanup", "configure", "cleanup"]
    assert wiped(job, 1) == NODES
    assert wiped(job, 3) == [B]
    assert job["outcomes"] == {A: "failed", B: "failed", C: "passed"}
    assert statuses(partial) == ["Unallocated", "Unallocated", "Allocated"]

    job = partial.run("decommission", NODES, extra_vars={"stuck": [A]})
    assert [result for result, _ in events(partial, job).values()] == ["fail", "pass", "pass"]
    assert statuses(partial) == ["Decommissioned"] * 3


def test_a_retry_brings_nodes_where_the_job_should_have_brought_them(partial: Clusterm) -> None:
    """Whatever the failure left them as: out of the cluster, or in it as they were."""
    partial.write_playbook("site.yml", CONFIGURE)
    partial.write_playbook("cleanup.yml", CLEANUP)
    job = partial.run("commission", NODES)
    assert statuses(partial) == ["Allocated"] * 3

    failed = partial.run("update", NODES, extra_vars={"stuck": [A], "broken": [B]})
    assert statuses(partial) == ["Unallocated", "Unallocated", "Allocated"]
    assert partial.post("/update/nodes", {"nodes": [B]}).status_code == 409
    retry = f"clusterctl job retry {failed['id']} --failed-only"
    assert f"{retry} (2 of 3 nodes)" in partial.clusterctl("job", "get", "last").stdout
    explained = partial.get(f"/info/node/{B}/explain")["next_steps"]
    assert [step["allowed"] for step in explained if step["command"] == retry] == [True]
    partial.write_playbook("site.yml", CONFIGURE.replace("broken |", "mended |"))
    partial.write_playbook("cleanup.yml", CLEANUP.replace("stuck |", "mended |"))
    again = partial.ended(partial.post("/job/last/retry", {"failed_only": True}).json())
    assert (again["action"], again["nodes"], again["status"]) == ("update", [A, B], "Complete")
    assert statuses(partial) == ["Allocated"] * 3
    everywhere = partial.ended(partial.post(f"/job/{failed['id']}/retry").json())
    assert (everywhere["nodes"], everywhere["status"]) == (NODES, "Complete")

    # A commission has nothing to do on nodes that are in the cluster by now.
    nothing = partial.post(f"/job/{job['id']}/retry")
    assert (nothing.status_code, nothing.json()["detail"][:39]) == (
        409,
        f"nothing is left to do of job {job['id']}: its nodes"[:39],
    )

    # A decommission ends in the same status whether it fails or not.
    partial.write_playbook("cleanup.yml", CLEANUP)
    gone = partial.run("decommission", NODES, extra_vars={"stuck": [A]})
    assert statuses(partial) == ["Decommissioned"] * 3
    partial.write_playbook("cleanup.yml", CLEANUP.replace("stuck |", "mended |"))
    again = partial.ended(partial.post(f"/job/{gone['id']}/retry", {"failed_only": True}).json())
    assert (again["nodes"], again["status"]) == ([A], "Complete")


@pytest.mark.parametrize(
    ("playbook", "passed"),
    [
        pytest.param(CONFIGURE, [1, 3], id="the others go on"),
        pytest.param(RESCUED, [1, 2], id="a failure that was rescued"),
        pytest.param(CONFIGURE + LAST.format(hosts="all", command="echo"), [1, 3], id="in the first of two plays"),
        pytest.param(
            CONFIGURE.replace("gather_facts: false", "serial: 1\n  gather_facts: false"), [1], id="in a batch"
        ),
        pytest.param(
            CONFIGURE.replace("hosts: all", "hosts: 127.0.2.2") + LAST.format(hosts="all", command="echo"),
            [],
            id="all of a play that is not the last",
        ),
        pytest.param(
            CONFIGURE.replace("gather_facts: false", "any_errors_fatal: true\n  gather_facts: false"), [], id="fatal"
        ),
        pytest.param(
            CONFIGURE.replace("gather_facts: false", "max_fail_percentage: 20\n  gather_facts: false"),
            [],
            id="too many",
        ),
        pytest.param(
            LAST.format(hosts="all", command="echo") + LAST.format(hosts="localhost", command="test 1 = 2"),
            [],
            id="elsewhere",
        ),
        pytest.param(
            LAST.format(hosts="127.0.2.1,127.0.2.2", command="test {{ node_name }} != 127.0.2.2"), [1], id="absent"
        ),
    ],
)
def test_a_node_passes_only_if_it_came_to_the_end(partial: Clusterm, playbook: str, passed: list[int]) -> None:
    partial.write_playbook("site.yml", playbook)
    addresses = [f"127.0.2.{number}" for number in (1, 2, 3)]
    job = partial.run("discover", addresses, extra_vars={"broken": ["127.0.2.2"]})
    assert job["status"] == "Errored"
    assert job["outcomes"] == {f"127.0.2.{number}": "passed" if number in passed else "failed" for number in (1, 2, 3)}
    told = {address: f"{result}ed" for address, (result, _) in events(partial, job).items()}
    assert told == job["outcomes"]
