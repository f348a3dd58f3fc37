"""A mistake in a playbook, or a file that is not there, reaches no node."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from support.programs import PASSING
from support.service import Clusterm, is_alive, wait_for

A, B = NODES = ["a-1", "b-2"]

WAITING = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: wait_for
      ansible.builtin.wait_for: {path: "{{ until }}"}
"""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that checks playbooks, with two nodes of which A is commissioned."""
    clusterm = module_clusterm
    (clusterm.playbooks / "roles").mkdir()
    clusterm.config["ansible"]["syntax_check"] = True
    clusterm.start()
    clusterm.add_nodes(*NODES)
    assert clusterm.run("commission", [A])["status"] == "Complete"
    return clusterm


@pytest.fixture
def breakable(service: Clusterm) -> Iterator[Clusterm]:
    """The service, whose playbooks and configuration are repaired after the test."""
    before = copy.deepcopy(service.config)
    yield service
    service.config = before
    service.write_playbook("site.yml", PASSING)
    service.write_playbook("cleanup.yml", PASSING)
    service.reload()


def busy(clusterm: Clusterm, job: dict[str, Any]) -> list[str]:
    """Return the tasks that run."""
    current = clusterm.job(job["id"], logs=False)["current"]
    return [each["task"] for each in current["busy"]] if current else []


def cluster(clusterm: Clusterm) -> Any:
    """Return all that a refused request must not change."""
    nodes = {
        name: {part: node[part] for part in ("inventory_state", "configuration_state")}
        for name, node in clusterm.get("/info/nodes").items()
    }
    return nodes, len(clusterm.get("/info/jobs")["items"])


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda c: (c.playbooks / "site.yml").unlink(), "site.yml doesn't exist: check"),
        (lambda c: (c.playbooks / "cleanup.yml").unlink(), "cleanup.yml doesn't exist: check"),
        (lambda c: c.config["ansible"].update(configure_playbook="roles"), "is a directory, not a file"),
        (lambda c: c.config["ansible"].update(playbook_location="/nowhere"), "directory /nowhere doesn't exist"),
        (lambda c: c.config["ansible"].update(executable="no-such-program"), "no-such-program was not found"),
        (lambda c: c.config["ansible"].update(priv_key_file="/no/key"), "the ssh key /no/key doesn't exist"),
        (lambda c: c.config["ansible"].update(ssh_agent="/no/agent"), "the socket of the ssh agent /no/agent doesn't"),
        (lambda c: c.config["ansible"].update(become_password_file="/no/pw"), "the password file /no/pw doesn't exist"),
    ],
)  # fmt: skip
def test_a_request_for_a_job_that_cannot_run_is_refused(
    breakable: Clusterm, break_it: Callable[[Clusterm], None], reason: str
) -> None:
    break_it(breakable)
    clusterm = breakable.reload()
    before = cluster(clusterm)
    for action, node in (("commission", B), ("update", A)):
        body = {"nodes": [node], "host_group": "service-master"}
        refused = clusterm.post(f"/{action}/nodes", body)
        assert (refused.status_code, reason in refused.json()["detail"]) == (409, True), refused.text
        plan = clusterm.post(f"/plan/{action}/nodes", body).json()
        assert refused.json()["detail"] in [objection["reason"] for objection in plan["objections"]]
    retried = clusterm.post("/job/1/retry")
    assert retried.status_code == 409
    assert cluster(clusterm) == before


def test_a_playbook_that_is_lost_while_a_job_waits(breakable: Clusterm) -> None:
    clusterm = breakable
    clusterm.write_playbook("site.yml", WAITING)
    go = clusterm.root / "go"
    first = clusterm.begin("update", [A], extra_vars={"until": str(go)})
    second = clusterm.begin("commission", [B], queue=True)
    wait_for(lambda: busy(clusterm, first) == ["wait_for"], "the playbook of the first job")
    (clusterm.playbooks / "site.yml").unlink()
    go.touch()
    assert clusterm.ended(first)["status"] == "Complete"
    job = clusterm.ended(second)
    assert (job["status"], job["steps"], job["outcomes"]) == ("Errored", [], {B: "skipped"})
    assert "site.yml doesn't exist: check ansible.playbook_location" in job["error"]
    assert clusterm.status_of(B) == "Unallocated"
    told = clusterm.get(f"/info/node/{B}/events")["items"][-1]
    assert (told["event"], told["result"]) == ("skipped", None)
    assert told["detail"] == f"the commission was not begun, and the node is unchanged: {job['error']}"


@pytest.mark.parametrize(
    ("name", "playbook", "reason"),
    [
        ("site.yml", "- hosts: [\n", "site.yml:"),
        ("site.yml", PASSING.replace("ansible.builtin.debug", "ansible.builtin.no_such"), "ansible.builtin.no_such"),
        ("cleanup.yml", "- hosts: all\n  roles: [absent]\n", "absent"),
        ("site.yml", "- import_playbook: '{{ api_token }}.yml'\n", "/********.yml"),
    ],
    ids=["yaml", "module", "role of the rollback", "the secret vars of the job"],
)
def test_a_playbook_that_ansible_rejects_leaves_the_nodes_as_they_were(
    breakable: Clusterm, name: str, playbook: str, reason: str
) -> None:
    clusterm = breakable
    clusterm.write_playbook(name, playbook)
    before, _ = cluster(clusterm)
    job = clusterm.run("update", [A], host_group="service-master", extra_vars={"api_token": "canary-1"})
    assert (job["status"], job["steps"], job["outcomes"]) == ("Errored", [], {A: "skipped"})
    assert job["error"].startswith("not begun, because ansible does not accept the playbooks (cleanup.yml, site.yml): ")
    assert reason in job["error"]
    assert any(reason in line for line in job["logs"])
    assert (job["lines"], job["log_bytes"]) == (len(job["logs"]), sum(len(f"{line}\n") for line in job["logs"]))
    after, _ = cluster(clusterm)
    assert after == before | {A: {**before[A], "inventory_state": after[A]["inventory_state"]}}
    assert clusterm.status_of(A) == "Allocated"
    shown = clusterm.clusterctl("job", "get", str(job["id"])).stdout
    assert f"clusterctl job retry {job['id']}" in shown


def test_a_job_can_be_stopped_and_resumed_while_its_playbooks_are_checked(breakable: Clusterm) -> None:
    clusterm = breakable
    checks, slow = clusterm.root / "checks", clusterm.root / "slow"
    program = clusterm.root / "slow-check"
    program.write_text(
        f"#!/bin/sh\ncase $* in *--syntax-check*) echo >>{checks}; while [ -e {slow} ]; do sleep 0.05; done;; esac\n"
    )
    program.chmod(0o755)
    clusterm.config["ansible"]["executable"] = str(program)
    clusterm.reload()

    def begun(count: int) -> bool:
        return checks.exists() and len(checks.read_text()) == count

    assert clusterm.run("commission", [B])["status"] == "Complete"  # a master beside the worker
    checks.unlink()
    slow.touch()
    job = clusterm.begin("update", [A], host_group="service-worker")
    wait_for(lambda: begun(1), "the check")
    assert clusterm.post(f"/job/{job['id']}/cancel").status_code == 200
    ended = clusterm.ended(job)
    assert (ended["status"], ended["outcomes"], ended["steps"]) == ("Cancelled", {A: "skipped"}, [])
    node = clusterm.get(f"/info/node/{A}")
    assert (clusterm.status_of(A), node["configuration_state"]["host_group"]) == ("Allocated", "service-master")

    job = clusterm.begin("update", [A])
    wait_for(lambda: begun(2), "the check of the next job")
    check = min(clusterm.programs(), key=lambda process: process.pid)  # the others are what its shell starts
    for executor in clusterm.executors():
        executor.kill()
        psutil.wait_procs([executor])
    wait_for(lambda: not is_alive(check), "the check to end with its executor")
    wait_for(lambda: begun(3), "the check by another executor")
    slow.unlink()
    assert clusterm.ended(job)["status"] == "Complete"


def test_of_a_long_rejection_the_end_is_kept(breakable: Clusterm) -> None:
    clusterm = breakable
    program = clusterm.root / "long-check"
    program.write_text(
        "#!/bin/sh\ncase $* in *--syntax-check*) yes 'much to say' | head -n 200000; echo 'ERROR! no'; exit 4;; esac\n"
    )
    program.chmod(0o755)
    clusterm.config["ansible"]["executable"] = str(program)
    clusterm.reload()
    job = clusterm.run("update", [A], host_group="service-master")
    assert job["error"].endswith("(cleanup.yml, site.yml): no")
    assert re.fullmatch(r"\[clusterm: \d+ bytes of output are missing here: it is too large\]", job["logs"][0])
    assert job["logs"][-1] == "ERROR! no"
    assert job["log_incomplete"] is True
