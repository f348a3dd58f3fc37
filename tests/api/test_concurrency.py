"""Simultaneous requests: of those that exclude each other one wins, and reads are whole while a job writes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import Any, TypeVar

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

NODES = [f"node{number}-n" for number in range(1, 9)]
ROUNDS = 3

T = TypeVar("T")


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    service = module_clusterm.start()
    service.add_nodes(*NODES)
    return service


def at_once(actions: Sequence[Callable[[], T]]) -> list[T]:
    """Do things at the same moment, each in a thread of its own."""
    start = Barrier(len(actions))

    def wait_and(action: Callable[[], T]) -> T:
        start.wait(WAIT_TIMEOUT_S)
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(wait_and, actions))


def posts(service: Clusterm, path: str, bodies: Sequence[dict[str, Any]]) -> list[httpx.Response]:
    """Post at once, each body over a connection of its own that is open already."""
    clients = [httpx.Client(base_url=service.http.base_url, timeout=WAIT_TIMEOUT_S) for _ in bodies]
    for client in clients:
        assert client.get("/healthz").status_code == 200
    try:
        return at_once([partial(client.post, path, json=body) for client, body in zip(clients, bodies, strict=True)])
    finally:
        for client in clients:
            client.close()


@pytest.mark.both_stores
def test_of_eight_commissions_exactly_one_begins(service: Clusterm, tmp_path: Path) -> None:
    for number, wanted in enumerate([NODES, NODES[:1] * 8, NODES, NODES[:1] * 8]):
        gate = tmp_path / f"gate{number}"
        before = service.get("/info/nodes")
        jobs = len(service.get("/info/jobs", limit=1000)["items"])
        last = service.http.get("/info/job/last").json()
        events = service.get("/info/jobs/timeline", limit=1000)["items"]
        group = "service-master"
        extra_vars = {"until": str(gate), "status": 1}  # so that they may be commissioned again
        bodies = [{"nodes": [node], "host_group": group, "extra_vars": extra_vars} for node in wanted]

        responses = posts(service, "/commission/nodes", bodies)
        assert sorted(response.status_code for response in responses) == [200, *[409] * 7]
        (winner,) = [response.json() for response in responses if response.status_code == 200]
        for response in responses:
            if response.status_code == 409:
                assert "another job has not ended: " in response.json()["detail"]
                assert winner["nodes"][0] in response.json()["detail"]

        assert len(service.get("/info/jobs", limit=1000)["items"]) == jobs + 1
        assert service.job("active", logs=False)["id"] == winner["id"]
        assert service.http.get("/info/job/last").json() == last
        assert service.get("/info/jobs/timeline", limit=1000)["items"] == events
        after = service.get("/info/nodes")
        assert [name for name in after if after[name] != before[name]] == winner["nodes"]
        assert after[winner["nodes"][0]]["inventory_state"]["status"] == "Provisioning"

        wait_for(lambda: service.job(winner["id"], logs=False)["lines"], "the job to run")  # noqa: B023
        assert len(service.executors()) == 1
        gate.touch()
        assert service.ended(winner)["status"] == "Errored"
        assert service.status_of(winner["nodes"][0]) == "Unallocated"


def test_of_different_actions_exactly_one_begins(service: Clusterm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    body = {
        "nodes": ["node1-n"],
        "addrs": ["127.0.9.9"],
        "host_group": "service-master",
        "extra_vars": {"until": str(gate), "status": 1},
    }
    requests = [
        partial(httpx.post, f"{service.http.base_url}{path}", json=body, timeout=WAIT_TIMEOUT_S)
        for path in ("/commission/nodes", "/discover/nodes", "/decommission/nodes") * 2
    ]
    responses = at_once(requests)
    gate.touch()
    (winner,) = [response.json() for response in responses if response.status_code == 200]
    assert {response.status_code for response in responses} == {200, 409}
    service.ended(winner)
    if winner["action"] == "decommission":
        assert service.status_of("node1-n") == "Decommissioned"


def test_simultaneous_news_of_the_same_node_make_one_node_and_one_event(service: Clusterm) -> None:
    for number in range(ROUNDS):
        node = {"label": f"new{number}", "serial": "n", "addr": f"127.0.3.{number + 1}"}
        body = {"monitor_event": {"name": "discovered", "nodes": [node]}}
        responses = posts(service, "/monitor/event", [body] * 8)
        assert [response.status_code for response in responses] == [200] * 8
        events = service.get(f"/info/node/new{number}-n/events")["items"]
        assert [event["event"] for event in events] == ["discovered"]


def test_two_nodes_cannot_take_one_address_at_once(service: Clusterm) -> None:
    for number in range(ROUNDS):
        bodies = [
            {
                "monitor_event": {
                    "name": "discovered",
                    "nodes": [{"label": f"rival{number}", "serial": f"s{serial}", "addr": f"127.0.4.{number + 1}"}],
                }
            }
            for serial in range(8)
        ]
        responses = posts(service, "/monitor/event", bodies)
        assert sorted(response.status_code for response in responses) == [200, *[409] * 7]
        nodes = service.get("/info/nodes")
        addresses = [node["monitoring_state"]["management_address"] for node in nodes.values()]
        assert len(addresses) == len(set(addresses))


def test_simultaneous_changes_of_the_configuration_are_all_kept(service: Clusterm) -> None:
    keys = ["user", "priv_key_file", "configure_playbook", "cleanup_playbook", "upgrade_playbook", "ssh_args"]
    before = service.get("/config")["ansible"]
    for number in range(ROUNDS):
        wanted = {key: f"{key}-{number}" for key in keys}
        bodies = [{"config": {"ansible": {key: value}}} for key, value in wanted.items()]
        responses = posts(service, "/config", bodies)
        assert {response.status_code for response in responses} == {200}
        after = service.get("/config")["ansible"]
        assert {key: after[key] for key in keys} == wanted
    service.post("/config", {"config": {"ansible": {key: before[key] for key in keys}}})


def test_a_job_is_seen_whole_at_every_moment_while_it_writes(new_clusterm: Clusterm) -> None:
    lines = 20_000
    new_clusterm.use_program(
        f"""
        import sys
        for number in range(1, {lines + 1}):
            sys.stdout.write(f"line {{number}} " + "x" * 200 + "\\n")
            if number % 50 == 0:
                sys.stdout.flush()
        """
    )
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.begin("commission", ["node1-a"])
    done = Event()

    def watch() -> list[dict[str, Any]]:
        """Read the job over and over, and return the last that was seen."""
        with httpx.Client(base_url=clusterm.http.base_url, timeout=WAIT_TIMEOUT_S) as client:
            seen: list[dict[str, Any]] = []
            while True:
                last_look = done.is_set()
                shown = client.get(f"/info/job/{job['id']}").json()
                numbers = [line.split()[1] for line in shown["logs"]]
                assert numbers == [str(number) for number in range(1, shown["lines"] + 1)]
                assert shown["status"] == "Running" or shown["lines"] == lines
                assert not seen or shown["lines"] >= seen[-1]["lines"]
                seen.append({key: shown[key] for key in ("lines", "status")})
                if last_look:
                    return seen

    def watch_lists() -> None:
        with httpx.Client(base_url=clusterm.http.base_url, timeout=WAIT_TIMEOUT_S) as client:
            while not done.is_set():
                for path in ("/info/nodes", "/info/jobs", "/info/jobs/timeline", "/info/node/node1-a", "/readyz"):
                    assert client.get(path).status_code == 200

    with ThreadPoolExecutor(3) as pool:
        watchers = [pool.submit(watch), pool.submit(watch)]
        lists = pool.submit(watch_lists)
        try:
            log = httpx.get(
                f"{clusterm.http.base_url}/info/logs/{job['id']}", params={"follow": "true"}, timeout=WAIT_TIMEOUT_S
            )
        finally:
            done.set()
        for watcher in watchers:
            assert watcher.result()[-1] == {"lines": lines, "status": "Complete"}
        lists.result()
    assert log.text.count("\n") == lines
    assert clusterm.timeline() == ["node1-a commissioned pass"]
