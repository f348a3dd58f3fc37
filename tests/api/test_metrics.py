"""Metrics tell what is so, keep to Prometheus' rules, and outlive restarts and pruned jobs."""

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.programs import SCRIPTED
from support.requirements import path_of, requires
from support.service import WAIT_TIMEOUT_S, Clusterm, kill_all, wait_for

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

DASHBOARD = Path(__file__).parents[2] / "packaging" / "grafana-dashboard.json"


def read(service: Clusterm) -> Samples:
    response = service.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


@pytest.fixture
def service(new_clusterm: Clusterm) -> Clusterm:
    new_clusterm.use_program(SCRIPTED)
    webhook = {"name": "nobody", "url": "http://127.0.0.1:1/", "events": ["node_returned"]}
    new_clusterm.config["notifications"] = {"webhooks": [webhook]}
    return new_clusterm.start()


def test_jobs_are_counted_once_and_for_good(service: Clusterm) -> None:
    service.add_nodes("node1-a", "node2-b")
    passed = service.run("commission", ["node1-a"], extra_vars={"lines": 10})
    service.run("commission", ["node2-b"], extra_vars={"status": 1})

    def check() -> Samples:
        samples = read(service)
        for status in ("Complete", "Errored"):
            of_status = {"action": "commission", "status": status}
            assert value(samples, "clusterm_job_duration_seconds_count", **of_status) == 1
            assert value(samples, "clusterm_job_duration_seconds_bucket", le="+Inf", **of_status) == 1
        assert value(samples, "clusterm_job_queue_seconds_count") == 2
        assert value(samples, "clusterm_log_lines_total") >= passed["lines"] > 10
        return samples

    took = value(check(), "clusterm_job_duration_seconds_sum", action="commission", status="Complete")
    assert took > 0
    service.restart()
    with_history = check()
    service.config["retention"] = {"jobs": 1}
    service.restart()
    wait_for(lambda: service.http.get(f"/info/job/{passed['id']}").status_code == 200, "the service")
    assert value(check(), "clusterm_log_bytes_total") == value(with_history, "clusterm_log_bytes_total") > 0


def test_what_is_now(service: Clusterm, tmp_path: Path) -> None:
    service.add_nodes("node1-a", "node2-b")
    running = service.begin("commission", ["node1-a"], extra_vars={"until": str(tmp_path / "end")})
    queued = service.post("/commission/nodes", {"nodes": ["node2-b"], "host_group": "service-master", "queue": True})
    assert queued.json()["status"] == "Queued"
    wait_for(lambda: service.job(running["id"], logs=False)["lines"], "the first line")
    samples = read(service)
    assert 0 < value(samples, "clusterm_job_running_seconds", action="commission") < WAIT_TIMEOUT_S
    silent = value(samples, "clusterm_job_silent_seconds", action="commission")
    assert 0 <= silent <= value(samples, "clusterm_job_running_seconds", action="commission")
    assert value(samples, "clusterm_job_running_seconds", action="update") == 0
    assert 0 < value(samples, "clusterm_job_oldest_queued_seconds") < WAIT_TIMEOUT_S
    assert value(samples, "clusterm_jobs", status="Running") == 1
    assert value(samples, "clusterm_jobs", status="Queued") == 1
    assert value(samples, "clusterm_nodes", status="Provisioning", state="Discovered") == 1
    assert value(samples, "clusterm_nodes", status="Unallocated", state="Discovered") == 1
    assert value(samples, "clusterm_store_up") == 1
    assert value(samples, "clusterm_store_size_bytes") >= service.database.stat().st_size > 0
    with service.http.stream("GET", "/info/logs/active") as response:
        lines = response.iter_lines()
        next(lines)
        assert value(read(service), "clusterm_followers") == 1
    wait_for(lambda: value(read(service), "clusterm_followers") == 0, "the follower to be gone")
    (tmp_path / "end").touch()
    service.ended(running)
    service.ended(queued.json())
    samples = read(service)
    assert value(samples, "clusterm_jobs", status="Running") == value(samples, "clusterm_jobs", status="Queued") == 0


def test_every_series_of_jobs_and_nodes_is_there_from_the_start(service: Clusterm) -> None:
    samples = read(service)
    for action, status in product(("commission", "update", "decommission", "discover"), ("Complete", "Errored")):
        assert value(samples, "clusterm_job_duration_seconds_count", action=action, status=status) == 0
    assert value(samples, "clusterm_nodes", status="Allocated", state="Disappeared") == 0
    assert value(samples, "clusterm_notifications_failed_total", webhook="nobody") == 0
    assert value(samples, "clusterm_job_oldest_queued_seconds") == 0


def test_health_and_lost_executors(service: Clusterm, tmp_path: Path) -> None:
    service.add_nodes("node1-a")
    job = service.begin("commission", ["node1-a"], extra_vars={"until": str(tmp_path / "end")})
    samples = read(service)
    assert value(samples, "clusterm_ready") == value(samples, "clusterm_health_check_ok", check="ansible") == 1
    assert value(samples, "clusterm_executors_lost_total") == 0
    kill_all(wait_for(service.executors, "the executor"))
    wait_for(lambda: value(read(service), "clusterm_executors_lost_total") == 1, "the loss of the executor")
    (tmp_path / "end").touch()
    service.ended(job)
    assert value(read(service), "clusterm_executors_lost_total") == 1
    service.config["manager"]["min_free_bytes"] = 2**60
    service.restart()
    samples = read(service)
    assert value(samples, "clusterm_ready") == value(samples, "clusterm_health_check_ok", check="disk") == 0
    assert value(samples, "clusterm_state_dir_free_bytes") < value(samples, "clusterm_state_dir_min_free_bytes")


def test_requests_are_counted_by_route_and_not_by_what_clients_make_up(service: Clusterm) -> None:
    for _ in range(3):
        service.http.get("/info/node/none")
    service.http.get("/made/up")
    service.http.request("MADEUP", "/info/nodes")
    samples = read(service)
    assert value(samples, "clusterm_http_requests_total", method="GET", route="/info/node/{name}", status="404") == 3
    assert value(samples, "clusterm_http_requests_total", method="GET", route="other", status="404") == 1
    assert value(samples, "clusterm_http_request_duration_seconds_count", method="GET", route="/info/node/{name}") == 3
    assert not [labels for _, labels in samples if "made" in str(labels).lower()]


def test_without_its_store_the_service_says_so(service: Clusterm) -> None:
    with closing(sqlite3.connect(service.database)) as connection:
        connection.execute("ALTER TABLE nodes RENAME TO somewhere_else")
    samples = read(service)
    assert value(samples, "clusterm_store_up") == 0
    assert ("clusterm_log_lines_total", frozenset()) not in samples


@requires("promtool")
def test_promtool_finds_nothing_to_blame(service: Clusterm) -> None:
    service.add_nodes("node1-a")
    service.run("commission", ["node1-a"])
    text = service.http.get("/metrics").content
    check = subprocess.run(
        [path_of("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=WAIT_TIMEOUT_S, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_the_dashboard_asks_for_what_there_is(service: Clusterm) -> None:
    service.add_nodes("node1-a")
    service.run("commission", ["node1-a"])
    known = {name for name, _ in read(service)}
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = set(_names(queries))
    assert len(queries) >= 8
    assert asked <= known, asked - known


def _names(queries: Iterable[str]) -> Iterable[str]:
    for query in queries:
        yield from re.findall(r"\b(?:clusterm|process)_[a-z_]+", query)
