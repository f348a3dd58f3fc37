"""A background task that fails is shown by status and metrics, and serves what it can."""

import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

from clusterm.executor.files import LOG
from clusterm.schemas import BackgroundTaskStatus, ServiceStatus

NAMES = ["notification_sender", "supervisor", "pruner", "monitors", "usage_recorder", "reloader", "readiness_log"]


def tasks(clusterm: Clusterm) -> dict[str, BackgroundTaskStatus]:
    status = ServiceStatus.model_validate(clusterm.get("/info/status"))
    return {task.name: task for task in status.tasks}


def metric(clusterm: Clusterm, name: str, task: str) -> float | None:
    families = text_string_to_metric_families(clusterm.http.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return next((each.value for each in samples if (each.name, each.labels) == (name, {"task": task})), None)


def test_status_and_metrics_list_the_tasks(clusterm: Clusterm) -> None:
    wait_for(lambda: tasks(clusterm)["supervisor"].runs > 1, "some runs")
    found = tasks(clusterm)
    assert list(found) == NAMES
    supervisor = found["supervisor"]
    assert (supervisor.failures, supervisor.last_error, supervisor.last_error_at) == (0, None, None)
    assert supervisor.last_run is not None
    assert supervisor.last_success is not None
    assert supervisor.last_run <= supervisor.last_success
    assert (found["pruner"].runs, found["pruner"].last_run) == (0, None), "its first run is later"
    (shown,) = [task for task in clusterm.get("/info/status")["tasks"] if task["name"] == "supervisor"]
    assert shown["last_run"].endswith("Z"), "times are RFC 3339 in UTC"
    runs = metric(clusterm, "clusterm_background_task_runs_total", "supervisor")
    assert runs is not None
    assert runs >= supervisor.runs
    assert metric(clusterm, "clusterm_background_task_failures_total", "supervisor") == 0
    succeeded = metric(clusterm, "clusterm_background_task_last_success_timestamp_seconds", "supervisor")
    assert succeeded is not None
    assert succeeded >= supervisor.last_success.timestamp()
    assert metric(clusterm, "clusterm_background_task_runs_total", "pruner") == 0
    assert metric(clusterm, "clusterm_background_task_last_success_timestamp_seconds", "pruner") is None
    assert "Failing tasks" not in clusterm.clusterctl("status").stdout


def test_a_job_that_cannot_be_supervised_does_not_affect_others(new_clusterm: Clusterm, tmp_path: Path) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    clusterm.config["manager"]["max_active_jobs"] = 2
    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    gate = tmp_path / "gate"
    first = clusterm.begin("commission", ["node1-a"], extra_vars={"until": str(gate)})
    wait_for(lambda: clusterm.job(first["id"], logs=False)["lines"], "the first job to run")
    log = clusterm.state_dir / "jobs" / str(first["id"]) / LOG
    log.rename(log.with_name("moved"))
    log.mkdir()  # which cannot be read as a file, also not by root
    second = clusterm.run("commission", ["node2-b"])
    assert second["status"] == "Complete"
    failing = tasks(clusterm)["supervisor"]
    assert failing.failures > 1
    assert failing.last_error is not None
    assert failing.last_error.startswith(f"log of job {first['id']}: [Errno 21] Is a directory")
    failures = metric(clusterm, "clusterm_background_task_failures_total", "supervisor")
    assert failures is not None
    assert failures >= failing.failures
    shown = " ".join(clusterm.clusterctl("status").stdout.split())
    assert "Failing tasks supervisor since 2" in shown
    assert f": log of job {first['id']}: [Errno 21] Is a directory" in shown
    assert (
        clusterm.log.read_text().count(f"background task supervisor failed for log of job {first['id']}, retrying") == 1
    )
    log.rmdir()
    log.with_name("moved").rename(log)
    gate.touch()
    assert clusterm.ended(first)["status"] == "Complete"
    wait_for(lambda: "background task supervisor succeeded again" in clusterm.log.read_text(), "the recovery")
    assert "Failing tasks" not in clusterm.clusterctl("status").stdout
    status = json.loads(clusterm.clusterctl("status", "--json").stdout)
    assert [task["name"] for task in status["tasks"]] == NAMES
