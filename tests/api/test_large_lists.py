"""What keeps answers small: counts, text filters, brief forms, compression, and waiting for a change."""

import gzip
import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from support.programs import SCRIPTED
from support.rows import add_logged_job, add_result
from support.service import Clusterm

from clusterm.enums import TaskStatus
from clusterm.store.engine import Store

NODES = [f"rack{number % 3}-{number:03}" for number in range(60)]


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.start()
    module_clusterm.add_nodes(*NODES)
    module_clusterm.run("commission", NODES[:8])
    return module_clusterm


@pytest.fixture(scope="module")
def logged(service: Clusterm) -> Iterator[int]:
    """A job with a log of 60 lines; lines 21 to 23 belong to a failed result."""
    store = Store(f"sqlite:///{service.database}")
    job = add_logged_job(store, 60)
    add_result(store, job, 1, TaskStatus.FAILED, 21, 23)
    yield job
    store.close()


def test_nodes_are_found_by_text_ordered_and_counted(service: Clusterm) -> None:
    found = list[str]()
    cursors: dict[str, str] = {}
    while True:
        page = service.get("/nodes", q="RACK1", sort="status", limit=7, total=True, events=False, **cursors)
        assert page["total"] == 20
        assert all(node["events"] == [] for node in page["items"])
        found += [node["inventory_state"]["name"] for node in page["items"]]
        if page["next"] is None:
            break
        cursors = {"cursor": page["next"]}
    rack1 = sorted(name for name in NODES if name.startswith("rack1"))
    assert found == sorted(rack1, key=lambda name: (name not in NODES[:8], name))  # Allocated is before Unallocated
    assert service.get("/nodes", q="127.0.1.", total=True)["total"] == 60
    assert set(service.get("/nodes", limit=1)) == {"items", "next"}
    assert set(service.get("/info/nodes", q="rack2", events=False)) == {name for name in NODES if "rack2" in name}
    assert service.http.get("/nodes", params={"sort": "size"}).status_code == 422


def test_a_brief_list_of_jobs_has_no_nodes(service: Clusterm) -> None:
    (whole,), (brief,) = (service.get("/info/jobs", brief=flag, action="commission")["items"] for flag in (False, True))
    grows = {"nodes", "outcomes", "recap", "failures"}
    assert [whole[name] for name in ("nodes", "outcomes")] == [NODES[:8], dict.fromkeys(NODES[:8], "passed")]
    assert not any(brief[name] for name in grows)
    assert {name: whole[name] for name in whole.keys() - grows} == {name: brief[name] for name in brief.keys() - grows}
    assert brief["desc"].endswith("and 3 more as service-master")
    assert service.get("/info/jobs", status="Queued", total=True) == {"items": [], "next": None, "total": 0}


def test_a_brief_plan_has_names(service: Clusterm) -> None:
    body = {"nodes": NODES[8:12], "host_group": "service-worker", "limit_batch": 2}
    whole = service.post("/plan/commission/nodes", body).json()
    brief = service.post("/plan/commission/nodes?brief=true", body).json()
    assert whole | {"nodes": [], "inventory": {}} == brief
    assert brief["batches"] == [NODES[8:10], NODES[10:12]]
    assert len(whole["nodes"]) == 4


def test_large_answers_are_compressed_for_who_accepts_it(service: Clusterm) -> None:
    def ask(path: str, accepted: str) -> tuple[httpx.Response, bytes]:
        with service.http.stream("GET", path, headers={"Accept-Encoding": accepted}) as response:
            return response, b"".join(response.iter_raw())

    plain, body = ask("/info/nodes", "identity")
    packed, small = ask("/info/nodes", "br, gzip")
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert {"Accept-Encoding", "Authorization"} <= set(packed.headers["Vary"].split(", "))
    assert int(packed.headers["Content-Length"]) == len(small) < len(body) / 5
    assert json.loads(gzip.decompress(small)) == json.loads(body)
    assert "Content-Encoding" not in ask("/info/drain", "gzip")[0].headers
    assert "Content-Encoding" not in ask("/info/nodes", "gzip;q=0")[0].headers
    page, _ = ask("/ui/nodes", "gzip")
    assert page.headers["Content-Encoding"] == "gzip"


def test_a_link_chooses_the_format(service: Clusterm, logged: int) -> None:
    def kind(path: str) -> str:
        response = service.http.get(path, headers={"Accept": "application/json"})
        return str(response.headers["Content-Type"]).partition(";")[0]

    logs, timeline = f"/info/logs/{logged}?follow=false&format=", "/info/jobs/timeline?format="
    assert [kind(logs + form) for form in ("text", "ndjson")] == ["text/plain", "application/x-ndjson"]
    assert kind(f"{logs}events") == "text/event-stream"
    kinds = [kind(timeline + form) for form in ("json", "ndjson", "csv", "text")]
    assert kinds == ["application/json", "application/x-ndjson", "text/csv", "text/plain"]
    assert kind(f"/info/node/{NODES[0]}/events?format=text") == "text/plain"
    lines = service.http.get("/info/jobs/timeline?format=text&limit=3").text.splitlines()
    assert lines[-1].endswith(f"{NODES[7]} commissioned; result: pass")
    assert len(lines) == 3
    assert service.http.get(f"{timeline}xml").status_code == 422


def test_the_lines_that_match_are_counted(service: Clusterm, logged: int) -> None:
    path = f"/info/logs/{logged}/matches"

    def numbers(**parameters: object) -> tuple[list[int], bool]:
        found = service.get(path, **parameters)
        assert (found["job"], found["lines"]) == (logged, 60)
        at = int(str(parameters.get("after", 0)))
        return [at := at + gap for gap in found["gaps"]], found["more"]

    assert numbers(grep="error", ignore_case=True) == ([7, 44], False)
    assert numbers(grep="error") == ([], False)
    assert numbers(failed=True, node="node2-b") == ([19, 21, 23, 25], False)
    assert numbers(grep="line", limit=2) == ([1, 2], True)
    assert numbers(grep="line", after=58, limit=2) == ([59, 60], False)
    assert numbers(task="DOCKER", after=15) == ([16, 17, 18, 19, 20], False)
    assert service.http.get("/info/logs/99/matches").status_code == 404
    assert service.http.get(path, params={"limit": 0}).status_code == 422
    assert service.http.get(path, params={"follow": True}).status_code == 422


def test_a_request_waits_for_a_change(service: Clusterm) -> None:
    before = service.get("/info/changes")
    assert before["event"] > len(NODES)
    assert service.get("/info/changes", after=before["event"]) == before
    answers = list[dict[str, int]]()

    def wait() -> None:
        answers.append(
            httpx.get(f"{service.http.base_url}/info/changes?after={before['event']}&wait=25", timeout=60).json()
        )

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    assert not answers
    service.post(f"/node/{NODES[0]}/set", {"vars": {"rack": "7"}})
    waiting.join(60)
    assert answers[0]["event"] > before["event"]
    assert service.http.get("/info/changes?wait=26").status_code == 422


def test_states_of_nodes(service: Clusterm) -> None:
    found = service.get("/info/nodes/states", q=NODES[0])
    (node,) = found["nodes"]
    assert [found["statuses"][status] for _, status, *_ in node["segments"][-2:]] == ["Provisioning", "Allocated"]
    assert node["segments"][-1][3:] == [1, 0]
    bad = service.http.get("/info/nodes/states?since=2026-01-02&until=2026-01-01")
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_request")


def test_a_grid_is_for_people_too(service: Clusterm, logged: int) -> None:
    assert service.get(f"/info/job/{logged}/grid")["rows"] == [""]
    shown = service.clusterctl("job", "grid", "1")
    assert (shown.returncode, shown.stdout) == (0, "")
    assert "ansible ran no tasks" in shown.stderr
    listed = service.clusterctl("nodes", "get", "--contains", "RACK2-002").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["rack2-002"]
