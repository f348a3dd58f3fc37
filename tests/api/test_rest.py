"""Every route over a real socket: what it answers, how lists are paged, how logs are followed, and how errors look."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.schemas import Event, Job, Node, Page, Problem

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TOO_LARGE = 10 * 1024 * 1024 + 1
ENDED = {"Complete", "Errored", "Cancelled"}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


@pytest.fixture(scope="module")
def history(service: Clusterm) -> list[dict[str, Any]]:
    """Run a job of each kind: node1-a ends as master, node2-b decommissioned, node3-c as worker."""
    service.add_nodes("node1-a", "node2-b", "node3-c")
    return [
        service.run("commission", ["node1-a"], extra_vars={"lines": 3, "db_password": "canary"}),
        service.run("commission", ["node2-b"], extra_vars={"status": 2}),
        service.run("decommission", ["node2-b"]),
        service.run("commission", ["127.0.1.3"], host_group="service-worker", extra_vars='{"lines": 1}'),
        service.run("update", ["node1-a"]),
        service.run("discover", ["127.0.9.9"]),
    ]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that a job waits for."""
    return tmp_path / "gate"


@contextmanager
def running(service: Clusterm, gate: Path, *, lines: int = 0) -> Iterator[dict[str, Any]]:
    """Hold a job at its gate, with all of its lines stored."""
    job = service.begin("discover", ["127.0.9.9"], extra_vars={"lines": lines, "until": str(gate)})
    try:
        wait_for(lambda: service.job(job["id"], logs=False)["lines"] == lines + 1, "the job's lines")
        yield job
    finally:
        gate.touch()
        service.ended(job)


def pages(service: Clusterm, path: str, **parameters: Any) -> list[list[dict[str, Any]]]:
    """Follow `next` to the last page."""
    found = []
    cursor = None
    while True:
        page = service.get(path, **parameters, **({"cursor": cursor} if cursor else {}))
        assert set(page) == {"items", "next"}
        found.append(page["items"])
        if page["next"] is None:
            return found
        cursor = page["next"]


def follow(service: Clusterm, label: int | str, **parameters: Any) -> list[str]:
    """Return the lines of a log that is followed to its end, where its job must have ended."""
    url = f"{service.http.base_url}/info/logs/{label}"
    accept = parameters.pop("accept", "text/plain")
    response = httpx.get(url, params=parameters, headers={"Accept": accept}, timeout=WAIT_TIMEOUT_S)
    assert response.status_code == 200, response.text
    assert not response.text or response.text.endswith("\n")
    return response.text.split("\n")[:-1]


def is_problem(response: httpx.Response, status: int) -> bool:
    if response.status_code != status or response.headers["content-type"] != "application/problem+json":
        return False
    problem = Problem.model_validate(response.json())
    return problem.status == status and bool(problem.title) and bool(problem.detail) and "\n" not in problem.detail


# Nodes


def test_nodes_by_name_and_address(service: Clusterm, history: list[dict[str, Any]]) -> None:
    nodes = service.get("/info/nodes")
    assert set(nodes) >= {"node1-a", "node2-b", "node3-c"}
    assert nodes["node3-c"] == {
        "monitoring_state": {"label": "node3", "serial_number": "c", "management_address": "127.0.1.3"},
        "inventory_state": {
            "name": "node3-c",
            "status": "Allocated",
            "prev_status": "Provisioning",
            "state": "Discovered",
            "prev_state": "Unknown",
        },
        "configuration_state": {
            "inventory_name": "node3-c",
            "host_group": "service-worker",
            "ssh_address": "127.0.1.3",
            "ssh_port": 22,
            "inventory_vars": {"node_name": "node3-c", "node_addr": "127.0.1.3"},
            "secret_vars": [],
            "host_keys": [],
        },
        "events": [service.get("/info/node/node3-c")["events"][-1]],
    }
    for name, node in nodes.items():
        Node.model_validate(node)
        one = service.get(f"/info/node/{name}")
        assert one == service.get(f"/info/node/{node['monitoring_state']['management_address']}")
        assert {**one, "events": one["events"][-1:]} == node


def test_the_history_of_a_node(service: Clusterm, history: list[dict[str, Any]]) -> None:
    events = service.get("/info/node/node2-b/events")["items"]
    assert [(event["event"], event["result"], event["job"]) for event in events] == [
        ("discovered", None, None),
        ("commissioning", None, history[1]["id"]),
        ("commissioned", "fail", history[1]["id"]),
        ("decommissioning", None, history[2]["id"]),
        ("decommissioned", "pass", history[2]["id"]),
    ]
    assert events == service.get("/info/node/node2-b")["events"]
    assert events == service.get("/info/node/127.0.1.2/events")["items"]
    assert "exit status 2" in events[2]["detail"]
    for event in events:
        Event.model_validate(event)
        assert TIME.fullmatch(event["at"])


def test_the_history_of_a_node_is_paged_from_its_end(service: Clusterm, history: list[dict[str, Any]]) -> None:
    whole = service.get("/info/node/node2-b/events")["items"]
    assert pages(service, "/info/node/node2-b/events", limit=3) == [whole[2:], whole[:2]]
    assert pages(service, "/info/node/node2-b/events", limit=5) == [whole]
    assert pages(service, "/info/node/node2-b/events", limit=1) == [[event] for event in reversed(whole)]


# Jobs


def test_a_new_job_is_the_answer_to_its_request(service: Clusterm, history: list[dict[str, Any]], gate: Path) -> None:
    with running(service, gate) as job:
        assert job["status"] == "Running"
        assert job["finished_at"] is None
        assert job["error"] == ""
        assert job["logs"] is None
        assert service.job("active", logs=False)["id"] == job["id"]


def test_a_job_says_what_became_of_it(service: Clusterm, history: list[dict[str, Any]]) -> None:
    first, failed, _, second, update, _ = history
    assert [job["status"] for job in history] == ["Complete", "Errored", *["Complete"] * 4]
    assert [job["action"] for job in history] == [
        *("commission", "commission", "decommission", "commission", "update", "discover")
    ]
    assert [[step["name"] for step in job["steps"]] for job in history] == [
        *(["configure"], ["configure", "cleanup"], ["cleanup"], ["configure"], ["cleanup", "configure"], ["configure"])
    ]
    assert [job["task"] for job in history] == [*("configure", "cleanup", "cleanup"), *["configure"] * 3]
    assert [job["nodes"] for job in history] == [
        *(["node1-a"], ["node2-b"], ["node2-b"], ["node3-c"], ["node1-a"], ["127.0.9.9"])
    ]
    assert [job["host_group"] for job in history] == ["service-master", "service-master", "", "service-worker", "", ""]
    assert first["desc"] == "commission node1-a as service-master"
    assert first["extra_vars"] == {"lines": 3, "db_password": "********"}
    assert first["logs"][1:] == ["line 1", "line 2", "line 3"]
    assert (first["error"], first["lines"], first["retry_of"]) == ("", 4, None)
    assert service.program_input(first)["extra_vars"]["db_password"] == "canary", "ansible gets what is masked here"
    assert "canary" not in first["logs"][0]
    assert second["extra_vars"] == {"lines": 1}
    assert failed["error"] == "configure (site.yml) failed: ansible-playbook ended with exit status 2"
    assert [step["exit_status"] for step in failed["steps"]] == [2, 2]
    assert [step["playbook"] for step in update["steps"]] == ["cleanup.yml", "site.yml"]
    assert [step["first_line"] for step in update["steps"]] == [1, 2]
    for job in history:
        Job.model_validate(job)
        assert job["requested_by"] == "127.0.0.1"
        steps = [time for step in job["steps"] for time in (step["started_at"], step["finished_at"])]
        times = [job["created_at"], job["started_at"], *steps, job["finished_at"]]
        assert times == sorted(times)
        assert all(TIME.fullmatch(time) for time in times)


def test_a_job_by_id_with_and_without_its_log(service: Clusterm, history: list[dict[str, Any]]) -> None:
    for job in history:
        assert service.job(job["id"]) == job
        assert service.job(job["id"], logs="false") == {**job, "logs": None}


def test_active_and_last(service: Clusterm, history: list[dict[str, Any]], gate: Path) -> None:
    last = service.job("last")
    assert is_problem(service.http.get("/info/job/active"), 404)
    with running(service, gate) as job:
        assert service.job("active")["id"] == job["id"]
        assert service.job("last") == last, "a running job has not ended"
    assert service.job("last")["id"] == job["id"]
    assert is_problem(service.http.get("/info/job/active"), 404)


def test_jobs_are_listed_newest_first_without_logs(service: Clusterm, history: list[dict[str, Any]]) -> None:
    items = service.get("/info/jobs", limit=1000)["items"]
    ids = [job["id"] for job in items]
    assert ids == sorted(ids, reverse=True)
    by_id = {job["id"]: job for job in items}
    for job in history:  # a job that never ran has no provenance
        short = job["provenance"] and {**job["provenance"], "collections": None}
        assert by_id[job["id"]] == {**job, "logs": None, "provenance": short}
    Page[Job].model_validate(service.get("/info/jobs"))


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_jobs_are_paged(service: Clusterm, history: list[dict[str, Any]], limit: int) -> None:
    whole = service.get("/info/jobs", limit=1000)["items"]
    found = pages(service, "/info/jobs", limit=limit)
    assert [job for page in found for job in page] == whole
    assert {len(page) for page in found[:-1]} <= {limit}
    assert 0 < len(found[-1]) <= limit


def test_new_jobs_do_not_shift_a_page(service: Clusterm, history: list[dict[str, Any]]) -> None:
    first = service.get("/info/jobs", limit=2)
    second = service.get("/info/jobs", limit=2, cursor=first["next"])
    service.run("discover", ["127.0.9.9"])
    assert service.get("/info/jobs", limit=2, cursor=first["next"]) == second


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"status": "Errored"}, lambda job: job["status"] == "Errored"),
        ({"action": "commission"}, lambda job: job["action"] == "commission"),
        ({"node": "node2-b"}, lambda job: "node2-b" in job["nodes"]),
        ({"node": "127.0.9.9"}, lambda job: "127.0.9.9" in job["nodes"]),
        ({"node": "nobody"}, lambda _: False),
        ({"status": "Complete", "action": "commission", "node": "node1-a"}, lambda job: job["id"] == 1),
    ],
)
def test_jobs_are_filtered(
    service: Clusterm,
    history: list[dict[str, Any]],
    parameters: dict[str, str],
    wanted: Callable[[dict[str, Any]], bool],
) -> None:
    expected = [job for job in service.get("/info/jobs", limit=1000)["items"] if wanted(job)]
    assert [job for page in pages(service, "/info/jobs", limit=2, **parameters) for job in page] == expected


def test_jobs_are_filtered_by_time(service: Clusterm, history: list[dict[str, Any]]) -> None:
    since, until = history[1]["created_at"], history[3]["created_at"]
    for start, end in ((since, until), (in_zone(since, "+05:30"), in_zone(until, "-11:00"))):
        found = service.get("/info/jobs", since=start, until=end)["items"]
        assert [job["id"] for job in found] == [history[2]["id"], history[1]["id"]]


def in_zone(time: str, offset: str) -> str:
    zone = datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").tzinfo
    return datetime.fromisoformat(time).astimezone(zone).isoformat()


# Timeline


def test_the_timeline_tells_what_happened_in_order(service: Clusterm, history: list[dict[str, Any]]) -> None:
    items = service.get("/info/jobs/timeline", limit=1000)["items"]
    ids = [event["id"] for event in items]
    assert ids == sorted(set(ids))
    of_jobs = [event for event in items if event["job"] in {job["id"] for job in history}]
    assert [(event["node"], event["event"], event["result"], event["job"]) for event in of_jobs] == [
        ("node1-a", "commissioned", "pass", history[0]["id"]),
        ("node2-b", "commissioned", "fail", history[1]["id"]),
        ("node2-b", "decommissioned", "pass", history[2]["id"]),
        ("node3-c", "commissioned", "pass", history[3]["id"]),
        ("node1-a", "updated", "pass", history[4]["id"]),
        (None, "discovered", "pass", history[5]["id"]),
    ]
    Page[Event].model_validate(service.get("/info/jobs/timeline"))


def test_the_timeline_is_limited_and_filtered(service: Clusterm, history: list[dict[str, Any]]) -> None:
    whole = service.get("/info/jobs/timeline", limit=1000)["items"]
    assert service.get("/info/jobs/timeline", limit=2) == {"items": whole[-2:], "next": str(whole[-2]["id"])}
    assert service.get("/info/jobs/timeline")["items"] == whole[-30:]
    of_node = [event for event in whole if event["node"] == "node2-b"]
    assert service.get("/info/jobs/timeline", node="node2-b")["items"] == of_node
    assert service.get("/info/jobs/timeline", node="node2-b", limit=1)["items"] == of_node[-1:]
    since = [event for event in whole if event["at"] >= of_node[1]["at"]]
    assert service.get("/info/jobs/timeline", since=of_node[1]["at"], limit=1000)["items"] == since
    assert service.get("/info/jobs/timeline", node="nobody")["items"] == []


def test_timeline_and_history_reach_back_as_far_as_is_configured(new_clusterm: Clusterm) -> None:
    new_clusterm.config["retention"] = {"timeline": 5, "node_events": 3}
    clusterm = new_clusterm.start()
    address = iter(range(1, 100))

    def move(name: str) -> None:
        label, _, serial = name.partition("-")
        node = {"label": label, "serial": serial, "addr": f"127.0.2.{next(address)}"}
        assert clusterm.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": [node]}}).is_success

    for name in ["node1-a"] * 8 + ["node2-b"] * 4:
        move(name)
    timeline = clusterm.get("/info/jobs/timeline")["items"]
    assert [event["node"] for event in timeline] == ["node1-a", *["node2-b"] * 4]
    assert len(clusterm.get("/info/node/node2-b/events")["items"]) == 3
    history = clusterm.get("/info/node/node1-a/events")["items"]
    assert [event["detail"].split(",")[0] for event in history] == ["at 127.0.2.6", "at 127.0.2.7", "at 127.0.2.8"]


# Logs


def test_a_log_as_text(service: Clusterm, history: list[dict[str, Any]]) -> None:
    response = service.http.get(f"/info/logs/{history[0]['id']}")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "".join(f"{line}\n" for line in history[0]["logs"])
    assert service.http.get("/info/logs/last").text.startswith("{")


def test_a_log_as_ndjson(service: Clusterm, history: list[dict[str, Any]]) -> None:
    response = service.http.get(f"/info/logs/{history[0]['id']}", headers={"Accept": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.split("\n")[:-1]]
    assert [line["text"] for line in lines] == history[0]["logs"]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        assert set(line) >= {"seq", "at", "node", "play", "task", "text"}
        assert TIME.fullmatch(line["at"])
        assert history[0]["started_at"] <= line["at"] <= history[0]["finished_at"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"from": 1}, slice(0, 4)),
        ({"from": 3}, slice(2, 4)),
        ({"from": 5}, slice(0, 0)),
        ({"from": 10**15}, slice(0, 0)),
        ({"tail": 0}, slice(0, 0)),
        ({"tail": 2}, slice(2, 4)),
        ({"tail": 100}, slice(0, 4)),
        ({"from": 4, "tail": 3}, slice(3, 4)),
        ({"from": 2, "follow": "true"}, slice(1, 4)),
        ({"tail": 1, "follow": "true"}, slice(3, 4)),
        ({"follow": "false"}, slice(0, 4)),
        ({"node": "nobody"}, slice(0, 0)),
    ],
)
def test_parts_of_a_log(
    service: Clusterm, history: list[dict[str, Any]], parameters: dict[str, Any], expected: slice
) -> None:
    assert follow(service, history[0]["id"], **parameters) == history[0]["logs"][expected]


def test_the_lines_of_a_node(service: Clusterm, history: list[dict[str, Any]]) -> None:
    """Real ansible tells which node wrote which line."""
    executable = service.get("/config")["ansible"]["executable"]
    service.post("/config", {"config": {"ansible": {"executable": "ansible-playbook"}}})
    try:
        job = service.run("update", ["node1-a", "node3-c"])
    finally:
        service.post("/config", {"config": {"ansible": {"executable": executable}}})
    assert job["status"] == "Complete"
    lines = follow(service, job["id"], node="node3-c")
    assert "hello from node3-c" in "\n".join(lines)
    assert "hello from node1-a" not in "\n".join(lines)
    told = [json.loads(line) for line in follow(service, job["id"], node="node3-c", accept="application/x-ndjson")]
    assert [line["text"] for line in told] == lines
    assert {line["node"] for line in told} == {"node3-c"}
    assert "Say hello" in {line["task"] for line in told}


def test_following_a_job_gives_every_line_from_the_first_and_ends_with_it(
    service: Clusterm, history: list[dict[str, Any]], gate: Path
) -> None:
    status_at_end: dict[int | str, str] = {}

    def follow_to_end(label: int | str, **parameters: Any) -> list[str]:
        lines = follow(service, label, **parameters)
        status_at_end[label] = httpx.get(f"{service.http.base_url}/info/job/{job['id']}").json()["status"]
        return lines

    with ThreadPoolExecutor() as pool, running(service, gate, lines=300) as job:
        early = pool.submit(follow_to_end, job["id"], follow="true")
        active = pool.submit(follow_to_end, "active")
        resumed = pool.submit(follow, service, job["id"], follow="true", **{"from": 200})
        beyond = pool.submit(follow, service, job["id"], follow="true", **{"from": 302})
        wait_for(lambda: "clusterm_followers 4.0" in service.http.get("/metrics").text, "the followers to connect")
        so_far = follow(service, job["id"])
        assert service.job("active", logs=False)["id"] == job["id"], "an id is not followed unless asked for"
        assert not any(follower.done() for follower in (early, active, resumed, beyond))
        gate.touch()
    logs = service.job(job["id"])["logs"]
    assert logs[1:] == [f"line {number}" for number in range(1, 301)]
    assert early.result() == active.result() == so_far == logs
    assert resumed.result() == logs[199:]
    assert beyond.result() == []
    assert set(status_at_end.values()) <= ENDED
    assert follow(service, job["id"], follow="true") == logs


def test_a_follower_that_was_cut_off_goes_on_without_gap_or_repetition(
    service: Clusterm, history: list[dict[str, Any]], gate: Path
) -> None:
    with ThreadPoolExecutor() as pool, running(service, gate, lines=50) as job:
        url = f"{service.http.base_url}/info/logs/{job['id']}"
        seen = []
        with httpx.stream("GET", url, params={"follow": "true"}, timeout=WAIT_TIMEOUT_S) as response:
            for line in response.iter_lines():
                seen.append(line)
                if len(seen) == 20:
                    break
        rest = pool.submit(follow, service, job["id"], follow="true", **{"from": 21})
        gate.touch()
    assert seen + rest.result() == service.job(job["id"])["logs"]


def test_twenty_followers_each_get_the_whole_log(service: Clusterm, history: list[dict[str, Any]], gate: Path) -> None:
    connected = Barrier(21)

    def follow_active(accept: str) -> str:
        url = f"{service.http.base_url}/info/logs/active"
        with httpx.stream("GET", url, headers={"Accept": accept}, timeout=WAIT_TIMEOUT_S) as response:
            pieces = response.iter_text()
            first = next(pieces)
            connected.wait(WAIT_TIMEOUT_S)
            return first + "".join(pieces)

    with running(service, gate, lines=500) as job, ThreadPoolExecutor(20) as pool:
        accepts = ["text/plain", "application/x-ndjson"] * 10
        followers = [pool.submit(follow_active, accept) for accept in accepts]
        connected.wait(WAIT_TIMEOUT_S)
        gate.touch()
    logs = service.job(job["id"])["logs"]
    texts = {follower.result() for follower in followers[::2]}
    ndjson = {follower.result() for follower in followers[1::2]}
    assert [text.split("\n")[:-1] for text in texts] == [logs]
    assert [[json.loads(line)["text"] for line in text.split("\n")[:-2]] for text in ndjson] == [logs]


# Monitoring


def announce(service: Clusterm, name: str, *nodes: tuple[str, str, str]) -> httpx.Response:
    listed = [{"label": label, "serial": serial, "addr": addr} for label, serial, addr in nodes]
    return service.post("/monitor/event", {"monitor_event": {"name": name, "nodes": listed}})


def test_monitoring_brings_nodes_and_takes_them_away(service: Clusterm, history: list[dict[str, Any]]) -> None:
    first = announce(service, "discovered", ("rack1", "x", "127.0.5.1"), ("rack1", "y", "127.0.5.2"))
    assert set(first.json()) == {"rack1-x", "rack1-y"}, "every node of the event counts"
    node = first.json()["rack1-x"]
    Node.model_validate(node)
    assert node["inventory_state"] == {
        "name": "rack1-x",
        "status": "Unallocated",
        "prev_status": "Unallocated",
        "state": "Discovered",
        "prev_state": "Unknown",
    }
    assert node["configuration_state"]["host_group"] == "service-master"
    announce(service, "discovered", ("rack1", "x", "127.0.5.1"))
    gone = announce(service, "disappeared", ("rack1", "x", "127.0.5.1"), ("rack1", "x", "127.0.5.1"))
    assert gone.json()["rack1-x"]["inventory_state"]["state"] == "Disappeared"
    assert gone.json()["rack1-x"]["inventory_state"]["prev_state"] == "Discovered"
    back = announce(service, "discovered", ("rack1", "x", "127.0.5.9"))
    assert back.json()["rack1-x"]["inventory_state"]["state"] == "Discovered"
    assert back.json()["rack1-x"]["configuration_state"]["ssh_address"] == "127.0.5.9"
    events = service.get("/info/node/rack1-x/events")["items"]
    assert [event["event"] for event in events] == ["discovered", "disappeared", "discovered"], "no news, no event"
    assert events == [event for event in service.get("/info/jobs/timeline")["items"] if event["node"] == "rack1-x"]


def test_an_address_is_that_of_the_node_that_is_there_now(service: Clusterm) -> None:
    announce(service, "discovered", ("before", "x", "127.0.5.50"))
    announce(service, "disappeared", ("before", "x", "127.0.5.50"))
    announce(service, "discovered", ("now", "x", "127.0.5.50"))
    assert service.get("/info/node/127.0.5.50")["inventory_state"]["name"] == "now-x"


# Globals, configuration, health


def test_globals_are_replaced_as_a_whole_and_masked(service: Clusterm) -> None:
    assert service.post("/globals", {"extra_vars": {"a": 1, "token": "canary"}}).json() == {
        "extra_vars": {"a": 1, "token": "********"}
    }
    assert service.get("/info/globals") == {"extra_vars": {"a": 1, "token": "********"}}
    assert service.post("/globals", {"extra_vars": '{"b": 2}'}).json() == {"extra_vars": {"b": 2}}
    assert service.post("/globals", {"extra_vars": {}}).json() == {"extra_vars": {}}


def test_the_configuration_is_shown(service: Clusterm) -> None:
    config = service.get("/config")
    assert config["manager"]["state_dir"] == str(service.state_dir)
    assert config["ansible"]["configure_playbook"] == "site.yml"
    assert set(config) >= {"manager", "store", "ansible", "retention"}


def test_health(service: Clusterm) -> None:
    assert service.get("/healthz") == {"status": "ok", "degraded": []}


def test_a_service_that_cannot_run_jobs_is_not_ready(new_clusterm: Clusterm) -> None:
    new_clusterm.config["ansible"]["executable"] = "no-such-program"
    clusterm = new_clusterm.start()
    assert clusterm.get("/healthz")["status"] == "ok"
    response = clusterm.http.get("/readyz")
    assert is_problem(response, 503)
    assert response.json()["detail"].endswith("no-such-program was not found")


def test_an_empty_cluster(clusterm: Clusterm) -> None:
    assert clusterm.get("/info/nodes") == {}
    assert clusterm.get("/info/jobs") == {"items": [], "next": None}
    assert clusterm.get("/info/jobs/timeline") == {"items": [], "next": None}
    assert clusterm.get("/info/globals") == {"extra_vars": {}}
    for label in ("active", "last"):
        for path in ("job", "logs"):
            response = clusterm.http.get(f"/info/{path}/{label}")
            assert is_problem(response, 404)
            assert response.json()["code"] == "job_not_found"


# A refused request leaves no trace but its answer


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/commission/nodes", {"nodes": ["nobody"], "host_group": "service-master"}, 404),
        ("/commission/nodes", {"nodes": ["node2-b", "nobody"], "host_group": "service-worker"}, 404),
        ("/commission/nodes", {"nodes": ["node2-b", "node1-a"], "host_group": "service-worker"}, 409),
        ("/commission/nodes", {"nodes": ["node2-b", "node3-c"], "host_group": "service-worker"}, 409),
        ("/commission/nodes", {"nodes": ["node2-b"], "host_group": "service-boss"}, 400),
        ("/commission/nodes", {"nodes": ["node2-b"]}, 400),
        ("/commission/nodes", {"nodes": [], "host_group": "service-master"}, 400),
        ("/commission/nodes", {"nodes": ["node2-b", "lost-l"], "host_group": "service-master"}, 409),
        ("/decommission/nodes", {"nodes": ["node1-a"]}, 409),
        ("/decommission/nodes", {"nodes": ["node3-c", "node2-b"]}, 409),
        ("/decommission/nodes", {"nodes": ["node3-c", "nobody"]}, 404),
        ("/update/nodes", {"nodes": ["node1-a"], "host_group": "service-worker"}, 409),
        ("/update/nodes", {"nodes": ["node3-c", "node2-b"], "host_group": "service-master"}, 409),
        ("/update/nodes", {"nodes": ["node3-c"], "host_group": "service-boss"}, 400),
        ("/discover/nodes", {"addrs": ["127.0.9.8", "127.0.1.1"]}, 409),
        ("/discover/nodes", {"addrs": []}, 400),
        (
            "/monitor/event",
            {
                "monitor_event": {
                    "name": "discovered",
                    "nodes": [
                        {"label": "new", "serial": "n", "addr": "127.0.1.1"},
                        {"label": "new", "serial": "m", "addr": "127.0.1.1"},
                    ],
                }
            },
            409,
        ),
        (
            "/monitor/event",
            {
                "monitor_event": {
                    "name": "disappeared",
                    "nodes": [
                        {"label": "nobody", "serial": "n", "addr": "127.0.1.1"},
                        {"label": "nobody", "serial": "m", "addr": "127.0.6.1"},
                    ],
                }
            },
            404,
        ),
        ("/globals", {"extra_vars": "[1]"}, 422),
        ("/config", {"config": {"ansible": {"user": "eve"}, "manager": {"addr": "0.0.0.0:1"}}}, 400),
    ],
)
def test_a_refused_request_leaves_no_trace(
    service: Clusterm, history: list[dict[str, Any]], path: str, body: dict[str, Any], status: int
) -> None:
    if "lost-l" not in service.get("/info/nodes"):
        announce(service, "discovered", ("lost", "l", "127.0.5.77"))
        announce(service, "disappeared", ("lost", "l", "127.0.5.77"))
    before = service.dump()
    assert is_problem(service.post(path, body), status)
    assert service.dump() == before


def test_requests_refused_for_an_active_job_leave_no_trace(
    service: Clusterm, history: list[dict[str, Any]], gate: Path
) -> None:
    with running(service, gate) as job:
        before = service.dump()
        for path, body in (
            ("/commission/nodes", {"nodes": ["node2-b"], "host_group": "service-worker"}),
            ("/decommission/nodes", {"nodes": ["node3-c"]}),
            ("/update/nodes", {"nodes": ["node3-c"], "host_group": "service-master"}),
            ("/discover/nodes", {"addrs": ["127.0.9.7"]}),
        ):
            response = service.post(path, body)
            assert is_problem(response, 409)
            assert "another job has not ended: " in response.json()["detail"]
            assert service.dump() == before
    assert service.job("last")["id"] == job["id"]


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/info/job/", 404),
        ("GET", "/info/node/", 404),
        ("POST", "/info/nodes", 405),
        ("GET", "/commission/nodes", 405),
        ("DELETE", "/config", 405),
        ("GET", "/info/node/nobody", 404),
        ("GET", "/info/job/999999", 404),
        ("GET", "/info/job/first", 400),
        ("GET", "/info/jobs?limit=0", 422),
    ],
)
def test_every_error_has_one_shape(service: Clusterm, method: str, path: str, status: int) -> None:
    response = service.http.request(method, path)
    assert is_problem(response, status)
    assert set(response.json()) == {"type", "code", "title", "status", "detail"}


# The description of the API


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path without the version, and description of each operation."""
    return [
        (method, path.removeprefix("/v1"), about)
        for path, item in document["paths"].items()
        for method, about in item.items()
    ]


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return dict(document["components"]["schemas"][name]) if name else schema


def lacks_example(document: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    """Return the places in a schema of which neither an example nor a default tells what goes there."""
    schema = resolve(document, schema)
    if schema.keys() & {"examples", "example", "default", "enum", "const"} or schema.get("type") in {"boolean", "null"}:
        return []
    if "properties" in schema:
        return [
            lacking
            for name, item in schema["properties"].items()
            for lacking in lacks_example(document, item, f"{place}.{name}")
        ]
    if "items" in schema:
        return lacks_example(document, schema["items"], f"{place}[]")
    if alternatives := [one for one in schema.get("anyOf", []) if one != {"type": "null"}]:
        return lacks_example(document, alternatives[0], place)
    return [place]


def test_every_operation_is_described(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for method, path, about in operations(document):
        assert about.get("summary"), (method, path)
        assert about.get("description"), (method, path)
        assert about.get("tags"), (method, path)
        assert set(about["tags"]) <= tags, (method, path)
        for parameter in about.get("parameters", []):
            assert parameter.get("description"), (method, path, parameter["name"])


def test_the_design_s_routes_are_there(service: Clusterm) -> None:
    described = {(method.upper(), path) for method, path, _ in operations(service.get("/openapi.json"))}
    assert described >= {
        ("GET", "/info/nodes"),
        ("GET", "/info/node/{name}"),
        ("GET", "/info/node/{name}/events"),
        ("GET", "/info/job/{job}"),
        ("GET", "/info/jobs"),
        ("GET", "/info/logs/{job}"),
        ("GET", "/info/jobs/timeline"),
        ("POST", "/commission/nodes"),
        ("POST", "/decommission/nodes"),
        ("POST", "/update/nodes"),
        ("POST", "/discover/nodes"),
        ("GET", "/info/globals"),
        ("POST", "/globals"),
        ("GET", "/config"),
        ("POST", "/config"),
        ("POST", "/monitor/event"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }


def test_every_answer_has_a_model(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    without = []
    for method, path, about in operations(document):
        for media_type, content in about["responses"]["200"]["content"].items():
            schema = content.get("schema", {})
            named = "$ref" in schema.keys() | schema.get("anyOf", [{}])[0].keys() or "$ref" in str(
                schema.get("additionalProperties", schema.get("anyOf"))
            )
            if not named and media_type not in {"text/plain", "text/csv"}:
                without.append((method, path, media_type))
    assert not without, "\n".join(map(str, without))


def test_requests_and_answers_have_examples(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    without = []
    for method, path, about in operations(document):
        if "requestBody" in about:
            (content,) = about["requestBody"]["content"].values()
            without += lacks_example(document, content["schema"], f"{method} {path}")
        for media_type, content in about["responses"]["200"]["content"].items():
            if not content.keys() & {"example", "examples"} and "examples" not in referred(document, content):
                without.append(f"{method} {path} {media_type}")
    assert not without, "\n".join(map(str, without))


def referred(document: dict[str, Any], part: dict[str, Any]) -> str:
    """Return a part of the document, and what it refers to, as text."""
    text, seen = json.dumps(part), set[str]()
    while names := set(re.findall(r'"#/components/schemas/(\w+)"', text)) - seen:
        seen |= names
        text += json.dumps([document["components"]["schemas"][name] for name in sorted(names)])
    return text


def test_every_error_that_is_described_refers_to_problem(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    others = []
    for method, path, about in operations(document):
        errors = {status: answer for status, answer in about["responses"].items() if status != "200"}
        if not errors and (method, path) not in {
            ("get", "/healthz"),
            ("get", "/config"),
            ("get", "/metrics"),
            ("get", "/info/status"),
            ("get", "/info/version"),
        }:
            others.append((method, path, "none"))
        for status, answer in errors.items():
            problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            if answer.get("content") != problem or not answer["description"]:
                others.append((method, path, status))
    assert not others, "\n".join(map(str, others))


WELL_FORMED: dict[int, dict[str, Any]] = {
    404: {
        "nodes": ["nobody-x"],
        "host_group": "service-master",
        "monitor_event": {"name": "disappeared", "nodes": [{"label": "nobody", "serial": "x", "addr": "127.0.6.6"}]},
    },
    409: {
        "nodes": ["node1-a"],
        "host_group": "service-worker",
        "addrs": ["127.0.1.1"],
        "monitor_event": {"name": "discovered", "nodes": [{"label": "new", "serial": "x", "addr": "127.0.1.1"}]},
    },
}
"""Bodies of which each request takes its own members and ignores the others."""

OTHERWISE: dict[str, dict[str, Any]] = {
    "/node/{name}/rename": {"name": "node2-b"},
    "/node/{name}/host-keys": {"keys": []},
    "/import/nodes": {"nodes": [{"label": "new", "addr": "127.0.6.7"}]},
}
"""Well-formed bodies of the requests that contiv's members are not enough for."""


TWINS = "127.0.5.88"
"""The address of two nodes, so that it names neither."""


def provoke(service: Clusterm, method: str, path: str, about: dict[str, Any], status: int) -> httpx.Response:
    """Send what should be answered with an error."""
    job = {400: "x", 404: "999999", 409: "1"}.get(status, "last")
    name = {404: "nobody-x", 409: TWINS}.get(status, "node1-a")
    action = "nothing" if status == 404 else "update"
    names = {"name": name, "job": job, "later": job, "action": action}
    queries: dict[int, dict[str, Any]] = {
        400: {"cursor": "x"},
        404: {"name": "nobody-x"},
        409: {"name": TWINS},
    }
    known = {parameter["name"] for parameter in about.get("parameters", []) if parameter["in"] == "query"}
    query = {name: value for name, value in queries.get(status, {}).items() if name in known}
    options: dict[str, Any] = {"params": {"no_such_parameter": 1} if status == 422 else query}
    if method == "post":
        bodies: dict[int, dict[str, Any]] = {
            400: {"content": "{", "headers": {"Content-Type": "application/json"}},
            413: {"content": b" " * TOO_LARGE},
            415: {"content": "nodes", "headers": {"Content-Type": "text/plain"}},
            422: {"json": {"no_such_member": 1}, "params": {"no_such_parameter": 1}},
        }
        options = bodies.get(status, {"json": OTHERWISE.get(path, WELL_FORMED.get(status))})
    return service.http.request(method, path.format(**names), **options)


def test_every_error_that_is_described_is_answered_so(service: Clusterm, history: list[dict[str, Any]]) -> None:
    announce(service, "discovered", ("twin", "1", f"{TWINS}:2201"), ("twin", "2", f"{TWINS}:2202"))
    before = service.dump()
    wrong = []
    for method, path, about in operations(service.get("/openapi.json")):
        for status in sorted({int(status) for status in about["responses"]} - {200, 401, 403, 410, 428, 429, 503}):
            response = provoke(service, method, path, about, status)
            if not is_problem(response, status):
                wrong.append((method, path, status, response.status_code, response.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert service.dump() == before


IN_MEMORY = {"/info/service-log", "/info/actions", "/info/action/{action}", "/info/me"}
"""Routes that need no store without authentication."""


def test_a_store_that_cannot_be_used_is_503_everywhere(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    described = operations(clusterm.get("/openapi.json"))
    connection = sqlite3.connect(clusterm.database)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    with connection:
        for name in tables:
            if not name.startswith("sqlite_"):
                connection.execute(f"DROP TABLE {name}")
    connection.close()
    wrong = []
    for method, path, about in described:
        if "503" in about["responses"] and path not in IN_MEMORY:
            body = OTHERWISE.get(path, {**WELL_FORMED[409], "config": {"ansible": {"user": "ann"}}})
            options: dict[str, Any] = {"json": body} if method == "post" else {}
            names = {"name": "node1-a", "job": "1", "later": "1", "action": "update"}
            response = clusterm.http.request(method, path.format(**names), **options)
            if not is_problem(response, 503):
                wrong.append((method, path, response.status_code, response.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert clusterm.get("/healthz")["status"] == "ok"
