"""Jobs that take nodes some at a time, jobs that only look, and looking ahead at both."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

ROLLING = """
import json, pathlib, sys, time

def argument(option):
    return sys.argv[sys.argv.index(option) + 1]

def unmarked(values):
    return values.get("__ansible_unsafe", values)

extra_vars = json.loads(pathlib.Path(argument("--extra-vars")[1:]).read_text(), object_hook=unmarked)
limit = next((one.removeprefix("--limit=@") for one in sys.argv if one.startswith("--limit")), None)
hosts = [host for host in pathlib.Path(limit).read_text().split() if host != "localhost"] if limit else ["all"]
print(pathlib.Path(sys.argv[-1]).stem, *hosts, flush=True)
waits = extra_vars.get("wait_at") in hosts
while waits and not pathlib.Path(extra_vars["until"]).exists():
    time.sleep(0.01)
sys.exit(2 if extra_vars.get("fail_at") in hosts and "site" in sys.argv[-1] else 0)
"""
"""Stands in for ansible-playbook: says which playbook it runs on which hosts, waits and fails where it is told to."""

NODES = ["a-1", "a-2", "a-3", "a-4", "a-5"]


@pytest.fixture
def rolling(new_clusterm: Clusterm) -> Clusterm:
    """A service with five commissioned masters, and a program in place of ansible."""
    return commissioned(new_clusterm)


@pytest.fixture(scope="module")
def steady(module_clusterm: Clusterm) -> Clusterm:
    """A service like `rolling`, for tests after which all five masters are commissioned."""
    return commissioned(module_clusterm)


def commissioned(clusterm: Clusterm) -> Clusterm:
    clusterm.use_program(ROLLING)
    clusterm.start()
    clusterm.add_nodes(*NODES)
    assert clusterm.run("commission", NODES)["status"] == "Complete"
    return clusterm


def nodes_as(clusterm: Clusterm) -> list[str]:
    """Return status and host group of every node."""
    return [
        f"{node['inventory_state']['status']} {node['configuration_state']['host_group']}"
        for node in clusterm.get("/info/nodes").values()
    ]


def last_events(clusterm: Clusterm) -> list[str]:
    events = [node["events"][-1] for node in clusterm.get("/info/nodes").values()]
    return [f"{event['event']} {event['result']}" for event in events]


def test_nodes_are_taken_batch_by_batch(steady: Clusterm) -> None:
    job = steady.run("update", NODES, limit_batch=2)
    assert job["status"] == "Complete"
    assert [line for line in job["logs"] if line] == [
        *("cleanup a-1 a-2", "site a-1 a-2"),
        *("cleanup a-3 a-4", "site a-3 a-4"),
        *("cleanup a-5", "site a-5"),
    ]
    assert [step["batch"] for step in job["steps"]] == [1, 1, 2, 2, 3, 3]
    assert job["limit_batch"] == 2
    assert last_events(steady) == ["updated pass"] * 5


def test_a_failing_batch_is_the_last_one(rolling: Clusterm) -> None:
    rolling.add_nodes("b-1")
    assert rolling.run("commission", ["b-1"])["status"] == "Complete"
    before = rolling.get("/info/node/a-5")
    job = rolling.run("update", NODES, limit_batch=2, host_group="service-worker", extra_vars={"fail_at": "a-4"})
    assert job["status"] == "Errored"
    assert job["error"].startswith("2 of 5 nodes failed: in batch 2: configure (site.yml) failed")
    assert [line for line in job["logs"] if line][-3:] == ["cleanup a-3 a-4", "site a-3 a-4", "cleanup a-3 a-4"]
    assert nodes_as(rolling)[:5] == [
        *["Allocated service-worker"] * 2,
        *["Unallocated service-worker"] * 2,
        "Allocated service-master",
    ]
    assert last_events(rolling)[:5] == [*["updated pass"] * 2, *["updated fail"] * 2, "skipped None"]
    assert job["outcomes"] == {
        **dict.fromkeys(["a-1", "a-2"], "passed"),
        **dict.fromkeys(["a-3", "a-4"], "failed"),
        "a-5": "not reached",
    }
    after = rolling.get("/info/node/a-5")
    assert after["configuration_state"] == before["configuration_state"]
    assert "before this node was reached, and the node is unchanged" in after["events"][-1]["detail"]
    # What was not reached can be tried again at once.
    assert rolling.run("update", ["a-5"])["status"] == "Complete"


def test_a_job_goes_on_while_no_more_nodes_have_failed_than_may(rolling: Clusterm) -> None:
    terms: dict[str, Any] = {"limit_batch": [1, "40%"], "max_failures": "20%"}
    body = {"nodes": NODES, **terms}
    plan = rolling.post("/plan/update/nodes", body).json()
    assert [len(batch) for batch in plan["batches"]] == [1, 2, 2]
    assert (plan["max_failures"], plan["partial_success"]) == (1, True)
    job = rolling.run("update", NODES, **terms, extra_vars={"fail_at": "a-1"})
    assert (job["batches"], job["limit_batch"], job["max_failures"]) == ([1, 2, 2], [1, "40%"], "20%")
    assert job["status"] == "Errored"
    assert job["error"].startswith("1 of 5 nodes failed: in batch 1: configure (site.yml) failed")
    assert job["outcomes"] == {"a-1": "failed", **dict.fromkeys(NODES[1:], "passed")}
    assert nodes_as(rolling) == ["Unallocated service-master", *["Allocated service-master"] * 4]


def test_a_job_stops_after_the_batch_with_which_too_many_have_failed(rolling: Clusterm) -> None:
    job = rolling.run("update", NODES, limit_batch="40%", max_failures=1, extra_vars={"fail_at": "a-3"})
    assert job["error"].startswith(
        "stopped after batch 2 of 3: 2 of 5 nodes failed, 1 may (max_failures): in batch 2: configure (site.yml) failed"
    )
    assert [job["outcomes"][node] for node in NODES] == ["passed", "passed", "failed", "failed", "not reached"]
    assert nodes_as(rolling)[4] == "Allocated service-master"


@pytest.mark.parametrize(
    "terms", [{"limit_batch": "0%"}, {"limit_batch": ["101%"]}, {"max_failures": "x"}, {"limit_batch": []}]
)
def test_sizes_and_failures_out_of_range_are_rejected(steady: Clusterm, terms: dict[str, Any]) -> None:
    refused = steady.http.post("/update/nodes", json={"nodes": NODES, **terms})
    assert refused.status_code == 422
    assert next(iter(terms)) in refused.json()["detail"]


def test_a_stop_in_the_middle_leaves_the_rest_as_it_was(rolling: Clusterm, tmp_path: Path) -> None:
    extra_vars = {"wait_at": "a-3", "until": str(tmp_path / "never")}
    job = rolling.begin("update", NODES, limit_batch=2, extra_vars=extra_vars)
    wait_for(lambda: "cleanup a-3 a-4" in rolling.job(job["id"])["logs"], "the second batch")
    assert rolling.post(f"/job/{job['id']}/cancel", {}).status_code == 200
    assert rolling.ended(job)["status"] == "Cancelled"
    assert [node.split()[0] for node in nodes_as(rolling)] == [
        *["Allocated"] * 2,
        *["Unallocated"] * 2,
        "Allocated",
    ]
    assert last_events(rolling) == [*["updated pass"] * 2, *["updated fail"] * 2, "skipped None"]


def test_batches_go_on_after_executor_and_service_have_died(steady: Clusterm, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = steady.begin("update", NODES, limit_batch=2, extra_vars={"wait_at": "a-3", "until": str(go)})
    wait_for(lambda: "cleanup a-3 a-4" in steady.job(job["id"])["logs"], "the second batch")
    for executor in steady.executors():
        executor.kill()
    steady.restart()
    go.touch()
    ended = steady.ended(job)
    assert ended["status"] == "Complete"
    assert [line for line in ended["logs"] if line] == [
        *("cleanup a-1 a-2", "site a-1 a-2"),
        *("cleanup a-3 a-4", "site a-3 a-4"),
        *("cleanup a-5", "site a-5"),
    ]


def test_real_ansible_runs_on_a_batch_and_on_its_own_machine(clusterm: Clusterm) -> None:
    clusterm.write_playbook(
        "site.yml",
        """
        - hosts: localhost
          connection: local
          gather_facts: false
          tasks: [{ansible.builtin.debug: {msg: "before"}}]
        - hosts: all
          connection: local
          gather_facts: false
          tasks: [{ansible.builtin.debug: {msg: "on {{ ansible_play_hosts }} of {{ groups['all'] }}"}}]
        """,
    )
    clusterm.add_nodes("a-1", "a-2")
    job = clusterm.run("commission", ["a-1", "a-2"], limit_batch=1)
    log = "\n".join(job["logs"])
    assert job["status"] == "Complete", log
    assert log.count('"msg": "before"') == 2
    assert "on ['a-1'] of ['a-1', 'a-2']" in log
    assert "on ['a-2'] of ['a-1', 'a-2']" in log
    assert clusterm.timeline() == ["a-1 commissioned pass", "a-2 commissioned pass"]


def test_a_check_changes_nothing_but_the_list_of_jobs(clusterm: Clusterm, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for playbook, tail in (("site.yml", ""), ("cleanup.yml", "- ansible.builtin.fail:")):
        clusterm.write_playbook(
            playbook,
            f"""
            - hosts: service-master
              connection: local
              gather_facts: false
              tasks:
                - ansible.builtin.copy: {{content: "new\\n", dest: "{file}"}}
                {tail}
            """,
        )
    clusterm.add_nodes("a-1")
    before = clusterm.get("/info/nodes")
    run = clusterm.clusterctl("nodes", "commission", "a-*", "-g", "service-master", "--check", "--wait", "--json")
    job = json.loads(run.stdout)
    assert (run.returncode, job["status"], job["check"]) == (0, "Complete", True)
    log = "\n".join(clusterm.job(job["id"])["logs"])
    assert "+new" in log
    assert not file.exists()
    failed = clusterm.run("decommission", ["a-1"], check=True)
    assert (failed["status"], [step["name"] for step in failed["steps"]]) == ("Errored", ["cleanup"])
    assert clusterm.get("/info/nodes") == before
    assert clusterm.timeline() == []
    assert "commission (check)" in clusterm.clusterctl("job", "list").stdout
    again = clusterm.post("/job/last/retry", {}).json()
    assert again["check"] is True
    clusterm.ended(again)


def test_the_check_of_an_update_runs_the_configure_playbook_alone(steady: Clusterm) -> None:
    plan = steady.post("/plan/update/nodes", {"nodes": NODES, "check": True}).json()
    assert [step["name"] for step in plan["steps"]] == ["configure"]
    job = steady.run("update", NODES, check=True, limit_batch=3)
    assert [(step["name"], step["batch"]) for step in job["steps"]] == [("configure", 1), ("configure", 2)]
    assert set(job["outcomes"].values()) == {"passed"}
    failed = steady.run("update", NODES, check=True, extra_vars={"fail_at": "all"})
    assert (failed["status"], [step["name"] for step in failed["steps"]]) == ("Errored", ["configure"])
    assert set(nodes_as(steady)) == {"Allocated service-master"}


def test_a_failing_check_is_not_cleaned_up_after_and_holds_its_nodes(new_clusterm: Clusterm, tmp_path: Path) -> None:
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.config["manager"]["max_active_jobs"] = 2
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    extra_vars = {"until": str(tmp_path / "go"), "status": 2}
    job = clusterm.begin("commission", ["a-1"], check=True, extra_vars=extra_vars)
    assert clusterm.status_of("a-1") == "Unallocated"
    assert clusterm.post("/commission/nodes", {"nodes": ["a-1"], "host_group": "service-master"}).status_code == 409
    wait_for(lambda: clusterm.job(job["id"])["logs"], "the program")
    for process in [*clusterm.executors(), *clusterm.wrappers(), *clusterm.programs()]:
        process.kill()
    cut_off = clusterm.ended(job)
    assert cut_off["status"] == "Errored"
    assert clusterm.status_of("a-1") == "Unallocated"
    (tmp_path / "go").touch()
    failed = clusterm.run("commission", ["a-1"], check=True, extra_vars=extra_vars)
    assert [step["name"] for step in failed["steps"]] == ["configure"]
    assert {"--check", "--diff"} <= set(json.loads(failed["logs"][0])["arguments"])
    assert clusterm.status_of("a-1") == "Unallocated"


def test_a_plan_shows_everything_and_touches_nothing(steady: Clusterm) -> None:
    steady.post("/globals", {"extra_vars": {"from": "globals", "db_password": "sesame"}})
    wait_for(lambda: not list((steady.state_dir / "jobs").iterdir()), "the end of the first job's directory")
    before, files = steady.dump(), sorted(os.walk(steady.state_dir))
    body: dict[str, Any] = {"nodes": ["a-*"], "limit_batch": 2, "extra_vars": {"version": 1}}
    plan = steady.post("/plan/update/nodes", body).json()
    assert [node["inventory_state"]["name"] for node in plan["nodes"]] == NODES
    assert plan["batches"] == [["a-1", "a-2"], ["a-3", "a-4"], ["a-5"]]
    assert [(step["name"], step["condition"]) for step in plan["steps"]] == [
        ("cleanup", None),
        ("configure", None),
        ("cleanup", "if configure fails"),
    ]
    assert (plan["extra_vars"]["from"], plan["extra_vars"]["version"]) == ("globals", 1)
    assert list(plan["inventory"]["all"]["children"]["service-master"]["hosts"]) == NODES
    assert plan["objections"] == []
    shown = steady.clusterctl("nodes", "update", "a-*", "--limit-batch", "2", "--dry-run")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "sesame" not in shown.stdout + json.dumps(plan)
    assert steady.dump() == before
    assert sorted(os.walk(steady.state_dir)) == files


def test_a_plan_tells_all_that_forbids_it(rolling: Clusterm) -> None:
    rolling.add_nodes("b-1")
    gone = {"name": "disappeared", "nodes": [{"label": "b", "serial": "1", "addr": "127.0.1.6"}]}
    assert rolling.post("/monitor/event", {"monitor_event": gone}).status_code == 200
    body = {"nodes": ["a-1", "a-2", "b-*", "nobody", "x*"], "host_group": "nonsense"}
    plan = rolling.post("/plan/commission/nodes", body).json()
    assert [(objection["nodes"], objection["reason"][:41]) for objection in plan["objections"]] == [
        ([], 'no node has the name or address "nobody"'),
        ([], 'no node matches "x*"'),
        ([], '"nonsense" is no host group. Host groups:'),
        (["b-1"], "not all nodes are in the state Discovered"),
        (["a-1"], "cannot commission a-1: it is Allocated, a"),
        (["a-2"], "cannot commission a-2: it is Allocated, a"),
    ]
    assert rolling.post("/commission/nodes", body).json()["detail"] == plan["objections"][0]["reason"]
    shown = rolling.clusterctl("nodes", "commission", "a-1", "b-1", "-g", "service-master", "--dry-run")
    assert shown.returncode == 1
    assert "REASON" in shown.stdout
    assert "it would be refused: not all nodes are in the state Discovered" in shown.stderr
    (rolling.playbooks / "site.yml").unlink()
    shown = rolling.clusterctl("nodes", "update", "a-1", "--dry-run")
    assert (shown.returncode, "it would be refused: the playbook" in shown.stderr) == (1, True)
