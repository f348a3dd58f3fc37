"""Traces of jobs, as a collector gets them: nothing is lost, doubled or waited for, whatever fails."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from support.otlp_receiver import OtlpReceiver, collecting, values
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"

PLAYBOOK = """
- name: Provision
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.debug:
        msg: hello
    - name: Do nothing
      ansible.builtin.meta: noop
    - name: Need a data disk
      ansible.builtin.assert:
        that: node_name != "node2-b"
        fail_msg: "no disk, password=canary"
"""


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with collecting() as receiver:
        yield receiver


def export(clusterm: Clusterm, url: str, **settings: Any) -> None:
    clusterm.config["telemetry"] = {"endpoint": url, **settings}


def metric(clusterm: Clusterm, name: str) -> float:
    lines = clusterm.http.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"clusterm_traces_{name} "))


def all_exported(clusterm: Clusterm) -> None:
    wait_for(lambda: metric(clusterm, "pending") == 0, "all to be exported")


def discover(clusterm: Clusterm, **extra_vars: Any) -> dict[str, Any]:
    return clusterm.run("discover", ["127.0.9.9"], extra_vars=extra_vars)


def at(text: str) -> int:
    return int((datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000) * 1000


def test_a_real_job_is_a_trace_with_its_steps_plays_tasks_and_lines(
    new_clusterm: Clusterm, collector: OtlpReceiver
) -> None:
    clusterm = new_clusterm
    clusterm.write_playbook("site.yml", PLAYBOOK)
    export(clusterm, collector.url, logs=True, headers={"X-Key": "canary"})
    clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")
    body = {"nodes": ["node1-a", "node2-b"], "host_group": "service-master"}
    parent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    job = clusterm.ended(clusterm.post("/commission/nodes", body, headers=parent).json())
    all_exported(clusterm)

    assert {span.trace_id.hex() for span in collector.spans} == {TRACE} == {job["trace_id"]}
    (root,) = collector.roots()
    assert root.parent_span_id.hex() == PARENT
    assert (root.name, root.status.code) == ("commission", Status.STATUS_CODE_ERROR)
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (at(job["created_at"]), at(job["finished_at"]))
    told = values(root.attributes)
    assert told["clusterm.job.id"] == job["id"]
    assert told["clusterm.job.status"] == "Errored"
    assert told["clusterm.job.nodes"] == ["node1-a", "node2-b"]
    assert told["clusterm.job.requested_by"] == "127.0.0.1"
    assert "Need a data disk" in told["clusterm.job.error"]

    configure, cleanup = collector.children(root)
    assert (configure.name, cleanup.name) == ("configure", "cleanup")
    assert values(configure.attributes)["clusterm.step.exit_status"] == 2
    assert (configure.status.code, cleanup.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_OK)
    assert configure.start_time_unix_nano == at(job["steps"][0]["started_at"])
    (play,) = collector.children(configure)
    hello, nothing, disk = collector.children(play)
    assert nothing.end_time_unix_nano == nothing.start_time_unix_nano
    assert (play.name, hello.name, disk.name) == ("Provision", "Say hello", "Need a data disk")
    assert values(hello.attributes)["clusterm.task.results.ok"] == 2
    assert values(hello.attributes)["code.file.path"].endswith("site.yml:7")
    results = values(disk.attributes)
    assert (results["clusterm.task.results.ok"], results["clusterm.task.results.failed"]) == (1, 1)
    assert (disk.status.code, disk.status.message) == (Status.STATUS_CODE_ERROR, "failed on 1 of 2 nodes")
    (failed,) = (values(event.attributes) for event in disk.events if event.name == "failed")
    assert failed["clusterm.node"] == "node2-b"
    assert failed["clusterm.message"] == "no disk, password=********"
    for span in (play, hello, disk):
        assert configure.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= configure.end_time_unix_nano

    assert [record.body.string_value for record in collector.records] == job["logs"]
    said = next(record for record in collector.records if "[node2-b]: FAILED" in record.body.string_value)
    assert (said.trace_id.hex(), said.span_id) == (TRACE, disk.span_id)
    assert values(said.attributes)["clusterm.node"] == "node2-b"
    assert collector.resource["service.name"] == "clusterm"
    assert {headers["X-Key"] for _, headers in collector.requests} == {"canary"}
    assert "canary" not in json.dumps(clusterm.get("/config")["telemetry"])
    assert (metric(clusterm, "exported_total"), metric(clusterm, "dropped_total")) == (1, 0)


def test_a_collector_that_fails_delays_no_job_and_gets_every_trace_once(
    new_clusterm: Clusterm, collector: OtlpReceiver
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    answers = [(500, {}), (429, {"Retry-After": "1"}), (503, {})]
    collector.answer = lambda _: answers.pop(0) if answers else (200, {})
    export(clusterm, collector.url)
    clusterm.start()

    jobs = [discover(clusterm) for _ in range(2)]
    all_exported(clusterm)

    assert [values(root.attributes)["clusterm.job.id"] for root in collector.roots()] == [job["id"] for job in jobs]
    assert [root.trace_id.hex() for root in collector.roots()] == [job["trace_id"] for job in jobs]
    assert len({span.span_id for span in collector.spans}) == len(collector.spans)
    assert clusterm.log.read_text().count("it answered 500") == 1


def test_a_kill_in_mid_job_and_a_collector_that_is_down_lose_and_double_nothing(
    new_clusterm: Clusterm,
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    with collecting() as gone:
        port = int(gone.url.rpartition(":")[2])
    export(clusterm, gone.url)
    clusterm.start()
    before = discover(clusterm)
    wait_for(lambda: "no connection" in clusterm.log.read_text(), "the first attempt")
    during = clusterm.begin("discover", ["127.0.9.9"], extra_vars={"until": str(clusterm.root / "go")})
    wait_for(clusterm.programs, "the program")
    clusterm.kill()
    (clusterm.root / "go").touch()
    wait_for(lambda: not clusterm.processes(), "the end of the job")
    clusterm.start()
    clusterm.ended(during)

    with collecting(port) as collector:
        all_exported(clusterm)
        clusterm.restart()
        all_exported(clusterm)

    ids = [values(root.attributes)["clusterm.job.id"] for root in collector.roots()]
    assert ids == [before["id"], during["id"]]
    assert {span.trace_id.hex() for span in collector.spans} == {before["trace_id"], during["trace_id"]}


def test_a_slow_collector_delays_neither_jobs_nor_the_end_of_the_service(
    new_clusterm: Clusterm, collector: OtlpReceiver
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    waits = iter([True])

    def answer(_: str) -> tuple[int, dict[str, str]]:
        while next(waits, False) and clusterm.process is not None and clusterm.process.poll() is None:
            time.sleep(0.05)
        return 503, {}

    collector.answer = answer
    export(clusterm, collector.url)
    clusterm.start()
    discover(clusterm)
    wait_for(lambda: collector.requests, "the first attempt")

    assert discover(clusterm)["status"] == "Complete"
    assert clusterm.stop() == 0


def test_what_is_rejected_is_dropped_counted_and_told_once(new_clusterm: Clusterm, collector: OtlpReceiver) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    collector.answer = lambda _: (400, {})
    export(clusterm, collector.url)
    clusterm.start()
    for _ in range(2):
        discover(clusterm)
    all_exported(clusterm)

    assert (metric(clusterm, "exported_total"), metric(clusterm, "dropped_total")) == (0, 2)
    assert clusterm.log.read_text().count("dropped the trace") == 1
    collector.answer = lambda _: (200, {})
    job = discover(clusterm)
    all_exported(clusterm)
    assert [root.trace_id.hex() for root in collector.roots()] == [job["trace_id"]]


@pytest.mark.parametrize(
    ("settings", "parent", "exported"),
    [
        ({"sample_ratio": 0}, None, False),
        ({"sample_ratio": 0}, f"00-{TRACE}-{PARENT}-01", True),
        ({}, f"00-{TRACE}-{PARENT}-00", False),
        ({"enabled": False}, None, False),
    ],
)
def test_sampling(
    new_clusterm: Clusterm, collector: OtlpReceiver, settings: dict[str, Any], parent: str | None, exported: bool
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    export(clusterm, collector.url, **settings)
    clusterm.start()
    headers = {"traceparent": parent} if parent else {}
    response = clusterm.post("/discover/nodes", {"addrs": ["127.0.9.9"]}, headers=headers)
    clusterm.ended(response.json())
    all_exported(clusterm)

    assert bool(collector.roots()) == exported
    assert metric(clusterm, "dropped_total") == 0


def test_the_environment_of_opentelemetry_counts(
    new_clusterm: Clusterm, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "clusterm-east")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab")
    clusterm.config["telemetry"] = {"enabled": True}
    clusterm.start()
    discover(clusterm)
    all_exported(clusterm)

    assert collector.roots()
    assert collector.resource["service.name"] == "clusterm-east"
    assert collector.resource["deployment.environment.name"] == "lab"
    assert {headers["x-key"] for _, headers in collector.requests} == {"canary"}


def test_without_the_extra_one_line_says_what_to_install(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    hidden = clusterm.root / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    clusterm.launcher = ["env", f"PYTHONPATH={hidden}"]
    clusterm.config["telemetry"] = {"enabled": True}
    clusterm.start(fails=True)

    assert clusterm.process is not None
    assert clusterm.process.returncode != 0
    said = clusterm.log.read_text().strip().splitlines()
    assert len(said) == 1
    assert "pip install 'clusterm[otel]'" in said[0]
