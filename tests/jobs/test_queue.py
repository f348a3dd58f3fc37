"""Who runs when: the limit, the queue, nodes that are taken, retries, repeated requests, and draining."""

import json
import sqlite3
import subprocess
import threading

import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

WAITS_FOR_A_FILE = """
import json, pathlib, sys, time
inventory = json.loads(pathlib.Path(sys.argv[sys.argv.index("--inventory") + 1]).read_text())
for group in inventory["all"]["children"].values():
    for node in group["hosts"]:
        while not pathlib.Path(f"let-{node}").exists():  # beside the playbooks
            time.sleep(0.02)
        if pathlib.Path(f"fail-{node}").exists():
            print(f"{node} fails")
            sys.exit(2)
"""


def let(clusterm: Clusterm, *names: str) -> None:
    for name in names:
        (clusterm.playbooks / f"let-{name}").touch()


@pytest.fixture
def busy(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm whose jobs run until `let` lets their nodes go."""
    new_clusterm.use_program(WAITS_FOR_A_FILE)
    return new_clusterm


def statuses(clusterm: Clusterm) -> dict[int, str]:
    return {job["id"]: job["status"] for job in clusterm.get("/info/jobs")["items"]}


def test_requests_beyond_the_limit_are_refused_unless_they_queue(busy: Clusterm) -> None:
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2", "a-3")
    first = clusterm.begin("commission", ["a-1"])
    refused = clusterm.post("/commission/nodes", {"nodes": ["a-2"], "host_group": "service-master"})
    assert refused.status_code == 409
    assert f"another job has not ended: commission a-1 as service-master (id {first['id']})" in refused.json()["detail"]
    second = clusterm.begin("commission", ["a-2"], queue=True)
    third = clusterm.begin("commission", ["a-3"], queue=True)
    assert (second["status"], third["status"]) == ("Queued", "Queued")
    assert second["started_at"] is None
    assert clusterm.status_of("a-2") == "Unallocated"
    clusterm.restart()
    assert statuses(clusterm) == {1: "Running", 2: "Queued", 3: "Queued"}
    let(clusterm, "a-3", "a-1")
    clusterm.ended(first)
    wait_for(lambda: statuses(clusterm) == {1: "Complete", 2: "Running", 3: "Queued"}, "the second job")
    let(clusterm, "a-2")
    assert clusterm.ended(second)["status"] == "Complete"
    assert clusterm.ended(third)["status"] == "Complete"
    assert clusterm.timeline() == ["a-1 commissioned pass", "a-2 commissioned pass", "a-3 commissioned pass"]


def test_jobs_on_different_nodes_run_side_by_side(busy: Clusterm) -> None:
    busy.config["manager"]["max_active_jobs"] = 2
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2", "a-3")
    clusterm.begin("commission", ["a-1"])
    clusterm.begin("commission", ["a-2"])
    assert clusterm.job("active", logs=False)["id"] == 1
    running = clusterm.get("/info/jobs", status="Running")["items"]
    assert [job["id"] for job in running] == [2, 1]
    third = clusterm.begin("commission", ["a-3"], queue=True)
    assert third["status"] == "Queued"
    let(clusterm, "a-2")
    wait_for(lambda: statuses(clusterm) == {1: "Running", 2: "Complete", 3: "Running"}, "the third job")
    let(clusterm, "a-1", "a-3")
    assert clusterm.ended(third)["status"] == "Complete"


@pytest.mark.both_stores
def test_a_waiting_job_is_not_overtaken_on_its_nodes(busy: Clusterm) -> None:
    busy.config["manager"]["max_active_jobs"] = 3
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2", "a-3")
    clusterm.begin("commission", ["a-1"])
    refused = clusterm.post("/decommission/nodes", {"nodes": ["a-1"]})
    assert refused.status_code == 409
    assert "another job has not ended" in refused.json()["detail"]
    clusterm.begin("commission", ["a-2", "a-1"], queue=True)
    clusterm.begin("commission", ["a-2"], queue=True)
    clusterm.begin("commission", ["a-3"], queue=True)
    wait_for(lambda: statuses(clusterm) == {1: "Running", 2: "Queued", 3: "Queued", 4: "Running"}, "the fourth job")
    let(clusterm, "a-1", "a-2", "a-3")
    wait_for(lambda: "Running" not in (seen := statuses(clusterm).values()) and "Queued" not in seen, "all to end")
    # The second wanted a node that was commissioned by then.
    assert statuses(clusterm) == {1: "Complete", 2: "Errored", 3: "Complete", 4: "Complete"}
    error = clusterm.job(2)["error"]
    assert error.startswith("not started when its turn came: cannot commission a-1: it is Allocated")
    assert clusterm.status_of("a-1") == "Allocated"


def test_a_queued_job_says_why_it_waits_and_its_place(busy: Clusterm) -> None:
    busy.config["manager"]["max_active_jobs"] = 2
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2", "a-3", "a-4")
    clusterm.begin("commission", ["a-1"])
    clusterm.begin("commission", ["a-2"])
    clusterm.begin("commission", ["a-3"], queue=True)
    clusterm.begin("update", ["a-4", "a-2", "a-1"], queue=True)
    clusterm.begin("update", ["a-3", "a-4"], queue=True)
    waits = {job["id"]: job["wait"] for job in clusterm.get("/info/jobs")["items"] if job["wait"]}
    assert waits == {
        3: {
            "place": 1,
            "queued": 3,
            "job": None,
            "nodes": [],
            "reason": "2 jobs may run at a time (manager.max_active_jobs)",
        },
        4: {"place": 2, "queued": 3, "job": 2, "nodes": ["a-2"], "reason": "job 2 has not ended on a-2"},
        5: {"place": 3, "queued": 3, "job": 3, "nodes": ["a-3"], "reason": "job 3 has not ended on a-3"},
    }
    assert clusterm.job(4)["wait"] == waits[4]
    assert "Waits         place 2 of 3: job 2 has not ended on a-2\n" in clusterm.clusterctl("job", "get", "4").stdout
    status = clusterm.clusterctl("status").stdout
    assert "5 (update a-3 a-4): job 3 has not ended on a-3" in status
    clusterm.post("/manager/drain")
    assert {job["wait"]["reason"] for job in clusterm.get("/info/status")["waiting"]} == {"the service is drained"}
    let(clusterm, "a-1", "a-2", "a-3", "a-4")
    assert clusterm.post("/manager/undrain").is_success
    for job in (1, 2, 3, 4, 5):
        assert clusterm.ended({"id": job})["wait"] is None


def test_node_is_held_by_one_job_in_the_database_itself(busy: Clusterm) -> None:
    busy.config["manager"]["max_active_jobs"] = 2
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2")
    clusterm.begin("commission", ["a-1"])
    clusterm.begin("commission", ["a-2"])
    with sqlite3.connect(clusterm.database) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute("INSERT INTO job_nodes (job_id, position, node, held) VALUES (2, 2, 'a-1', 1)")
    database.close()


def test_cancelled_queued_job_is_dropped(busy: Clusterm) -> None:
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2")
    first = clusterm.begin("commission", ["a-1"])
    second = clusterm.begin("commission", ["a-2"], queue=True)
    key = {"Idempotency-Key": "one"}
    answer = clusterm.post(f"/job/{second['id']}/cancel", headers=key).json()
    assert answer["status"] == "Cancelled"
    assert clusterm.post(f"/job/{second['id']}/cancel", headers=key).json() == answer
    assert clusterm.post(f"/job/{second['id']}/cancel").status_code == 409
    let(clusterm, "a-1")
    clusterm.ended(first)
    assert clusterm.timeline() == ["a-1 commissioned pass"]
    assert clusterm.status_of("a-2") == "Unallocated"


def test_retry_does_the_same_again(busy: Clusterm) -> None:
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2")
    (clusterm.playbooks / "fail-a-1").touch()
    first = clusterm.begin("commission", ["a-1", "a-2"], extra_vars={"size": 3})
    early = clusterm.post(f"/job/{first['id']}/retry")
    assert early.status_code == 409
    assert "has not ended" in early.json()["detail"]
    let(clusterm, "a-1", "a-2")
    assert clusterm.ended(first)["status"] == "Errored"
    (clusterm.playbooks / "fail-a-1").unlink()
    second = clusterm.ended(clusterm.post("/job/last/retry").json())
    assert second["status"] == "Complete"
    assert second["retry_of"] == first["id"]
    same = ("action", "nodes", "host_group", "extra_vars")
    assert [second[member] for member in same] == [first[member] for member in same]
    for job, body in ((1, {}), (1, {"failed_only": True}), (2, {"failed_only": True})):
        third = clusterm.post(f"/job/{job}/retry", body)
        assert third.status_code == 409
        assert third.json()["detail"].startswith(f"nothing is left to do of job {job}: ")


def test_a_retry_with_other_vars_and_its_plan(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    first = clusterm.run("commission", ["a-1"], extra_vars={"status": 1, "password": "canary", "kept": "yes"})
    planned = clusterm.clusterctl("job", "retry", "-e", "status=0", "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["extra_vars"]["status"] == "0"
    assert "canary" not in planned.stdout
    assert clusterm.job()["id"] == first["id"], "a plan starts nothing"
    forbidden = clusterm.post(f"/job/{first['id']}/retry", {"extra_vars": {"ansible_connection": "local"}})
    assert forbidden.status_code == 422
    retried = clusterm.clusterctl("job", "retry", "-e", '{"status": 0}', "--wait")
    assert retried.returncode == 0, retried.stderr
    given = clusterm.program_input(clusterm.job())["extra_vars"]
    assert {name: given[name] for name in ("status", "password", "kept")} == {
        "status": 0,
        "password": "canary",
        "kept": "yes",
    }
    refused = clusterm.clusterctl("job", "retry", "--dry-run")
    assert refused.returncode == 1
    assert "nothing is left to do of job" in refused.stderr


def test_retry_of_failed_nodes_only(clusterm: Clusterm) -> None:
    clusterm.add_nodes("a-1", "a-2")
    playbook = """
        - hosts: all
          connection: local
          gather_facts: false
          tasks:
            - name: Check
              ansible.builtin.assert:
                that: inventory_hostname != '{}'
        """
    clusterm.write_playbook("site.yml", playbook.format("a-2"))
    first = clusterm.run("commission", ["a-1", "a-2"])
    assert first["status"] == "Errored"
    clusterm.write_playbook("site.yml", playbook.format("nobody"))
    second = clusterm.ended(clusterm.post("/job/last/retry", {"failed_only": True}).json())
    assert (second["status"], second["nodes"]) == ("Complete", ["a-2"])


def test_the_same_key_begins_one_job(busy: Clusterm) -> None:
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2")
    body = {"nodes": ["a-1"], "host_group": "service-master"}
    key = {"Idempotency-Key": "one"}
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(clusterm.post("/commission/nodes", body, headers=key)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["id"] for answer in answers} == {1}
    clusterm.restart()
    assert clusterm.post("/commission/nodes", body, headers=key).json()["id"] == 1
    for path, other in (("/commission/nodes", {**body, "nodes": ["a-2"]}), ("/update/nodes", body)):
        refused = clusterm.post(path, other, headers=key)
        assert refused.status_code == 422
        assert "Idempotency-Key was used for another request" in refused.json()["detail"]
    assert len(statuses(clusterm)) == 1


def test_refused_request_does_not_use_up_its_key(busy: Clusterm) -> None:
    clusterm = busy.start()
    body = {"nodes": ["a-1"], "host_group": "service-master"}
    key = {"Idempotency-Key": "one"}
    assert clusterm.post("/commission/nodes", body, headers=key).status_code == 404
    clusterm.add_nodes("a-1")
    assert clusterm.post("/commission/nodes", body, headers=key).status_code == 200


def test_drained_service_takes_no_jobs(busy: Clusterm) -> None:
    clusterm = busy.start()
    clusterm.add_nodes("a-1", "a-2")
    first = clusterm.begin("commission", ["a-1"])
    second = clusterm.begin("commission", ["a-2"], queue=True)
    assert clusterm.post("/manager/drain").json() == {"drained": True, "running": [first["id"]]}
    clusterm.restart()
    refused = clusterm.post("/commission/nodes", {"nodes": ["a-2"], "host_group": "service-master", "queue": True})
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    config = ["--config", str(clusterm.root / "clusterm.json")]
    waiting = subprocess.Popen([BIN / "clusterm", "drain", "--wait", *config], stdout=subprocess.PIPE, text=True)
    let(clusterm, "a-1", "a-2")
    assert waiting.communicate(timeout=WAIT_TIMEOUT_S)[0] == "drained\n"
    assert clusterm.ended(first)["status"] == "Complete"
    assert clusterm.job(second["id"])["status"] == "Queued"
    subprocess.run([BIN / "clusterm", "undrain", *config], check=True, capture_output=True)
    assert clusterm.ended(second)["status"] == "Complete"
