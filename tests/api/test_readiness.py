"""Readiness names what is wrong, and `clusterctl status` shows it together with what the service does."""

import json
import sqlite3
from contextlib import closing

from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.schemas import Readiness, ServiceStatus


def test_a_service_at_work(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    clusterm.config["manager"]["public_url"] = "https://clusterm.example.org"
    clusterm.start()
    ready = clusterm.get("/readyz")
    Readiness.model_validate(ready)
    fine = {"ok": True, "needed": True, "why": None}
    assert ready == {
        "status": "ok",
        "degraded": [],
        "checks": {"store": fine, "disk": fine, "ansible": fine, "tasks": {**fine, "needed": False}},
    }
    clusterm.add_nodes("node1-a", "node2-b")
    failed = clusterm.run("commission", ["node1-a"], extra_vars={"status": 3})
    passed = clusterm.run("commission", ["node1-a"])
    gate = clusterm.root / "gate"
    running = clusterm.begin("commission", ["node2-b"], extra_vars={"until": str(gate)})
    clusterm.post("/update/nodes", {"nodes": ["node1-a"], "queue": True})
    wait_for(clusterm.programs, "the running job")
    status = clusterm.get("/info/status")
    assert status["running"][0]["current"]["step"] == "configure"
    ServiceStatus.model_validate(status)
    assert [job["id"] for job in status["running"]] == [running["id"]]
    assert status["last_job"]["id"] == passed["id"]
    assert status["last_failure"]["error"] == failed["error"]
    assert {(each["status"], each["state"], each["nodes"]) for each in status["nodes"]} == {
        ("Allocated", "Discovered", 1),
        ("Provisioning", "Discovered", 1),
    }
    shown = clusterm.clusterctl("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.replace("Last ", "Last_").splitlines())
    assert list(lines) == [
        "Service", "Since", "Ready", "Jobs", "Running", "Queue", "Nodes", "Last_job", "Last_failure", "Store",
    ]  # fmt: skip
    assert lines["Service"].endswith(" at https://clusterm.example.org")
    assert lines["Ready"] == "yes"
    assert lines["Jobs"] == "1 running; 1 queued"
    assert lines["Running"].startswith(f"{running['id']} (commission node2-b as service-master): configure: ")
    assert lines["Queue"].endswith(": 1 job may run at a time (manager.max_active_jobs)")
    assert lines["Nodes"] == "2: 1 Allocated Discovered, 1 Provisioning Discovered"
    assert lines["Last_job"].startswith(f"{passed['id']} (commission node1-a as service-master) Complete at ")
    assert lines["Last_failure"].endswith(f": {failed['error']}")
    asked = json.loads(clusterm.clusterctl("status", "--json").stdout)
    assert [task["name"] for task in asked["tasks"]] == [task["name"] for task in status["tasks"]]
    changing = {"store_bytes": 0, "free_bytes": 0, "tasks": []}
    for each in (asked, status):
        del each["running"][0]["seconds"]
    assert {**asked, **changing} == {**status, **changing}

    with closing(sqlite3.connect(clusterm.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        response = clusterm.http.get("/readyz", timeout=WAIT_TIMEOUT_S)
        assert response.status_code == 503
        assert response.json()["detail"] == "the store cannot be written: database is locked"
        assert [name for name, check in response.json()["checks"].items() if not check["ok"]] == ["store"]
        database.execute("ROLLBACK")
    assert clusterm.get("/readyz") == ready
    gate.touch()
    clusterm.stop()
    assert clusterm.clusterctl("status").returncode == 3


def test_all_that_is_wrong_is_named(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    program = clusterm.root / "broken"
    program.write_text("#!/bin/sh\necho no module named ansible >&2\nexit 1\n")
    program.chmod(0o755)
    clusterm.config["ansible"]["executable"] = str(program)
    clusterm.config["manager"]["min_free_bytes"] = 2**60
    clusterm.config["serf"] = {"addr": "127.0.0.1:1"}
    clusterm.start()
    wait_for(lambda: not clusterm.http.get("/readyz").json()["checks"]["serf"]["ok"], "the agent to be missed")
    problem = clusterm.http.get("/readyz").json()
    wrong = {name: check["why"] for name, check in problem["checks"].items() if not check["ok"]}
    assert list(wrong) == ["disk", "ansible", "serf"]
    assert wrong["ansible"] == f"{program} cannot print its version: no module named ansible"
    assert wrong["disk"].endswith(f"less than the {2**40} of manager.min_free_bytes")
    assert problem["detail"].endswith(f"min_free_bytes; {wrong['ansible']}"), "Serf keeps no job from running"
    shown = clusterm.clusterctl("status")
    assert shown.returncode == 1
    assert shown.stderr.startswith("clusterctl: the service is not ready: disk: ")
    assert shown.stderr.endswith(f"; ansible: {wrong['ansible']}\n")
    assert f"Warnings serf: {wrong['serf']}" in " ".join(shown.stdout.split())
    program.write_text("#!/bin/sh\n")  # mended
    mended = clusterm.http.get("/readyz").json()["checks"]["ansible"]
    assert mended == {"ok": True, "needed": True, "why": None}


def test_without_its_tables_the_status_is_still_there(clusterm: Clusterm) -> None:
    with closing(sqlite3.connect(clusterm.database)) as database:
        database.execute("ALTER TABLE settings RENAME TO somewhere_else")
    status = clusterm.get("/info/status")
    assert not status["ready"]
    assert status["checks"]["store"]["why"] == "the store cannot be written: no such table: settings"
    assert (status["nodes"], status["last_job"]) == ([], None)
