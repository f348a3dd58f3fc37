"""What contiv's client sends is understood, and every phrase that it knows is answered."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import Clusterm

GO = {"User-Agent": "Go-http-client/1.1"}
MASTER, WORKER = "service-master", "service-worker"
SERF = {"Addr": "", "AuthKey": "", "Timeout": 0}
"""Its section of the configuration, as Go writes one that nobody set."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A cluster of a master, a worker, a spare node and a lost one."""
    module_clusterm.use_program(SCRIPTED)
    service = module_clusterm.start()
    nodes = [("master", "m"), ("worker", "w"), ("spare", "s"), ("lost", "l")]
    announced = [
        {"label": label, "serial": serial, "addr": f"127.0.1.{number}"}
        for number, (label, serial) in enumerate(nodes, start=1)
    ]
    assert go(service, "/monitor/event", monitor_event={"name": "discovered", "nodes": announced}).status_code == 200
    assert (
        go(service, "/monitor/event", monitor_event={"name": "disappeared", "nodes": announced[3:]}).status_code == 200
    )
    for label, group in (("master-m", "service-master"), ("worker-w", "service-worker")):
        response = go(service, "/commission/nodes", nodes=[label], host_group=group, extra_vars="")
        assert service.ended(response.json())["status"] == "Complete"
    return service


def go(service: Clusterm, path: str, **members: Any) -> httpx.Response:
    """POST as Go's encoder does: what is empty is left out, except for structs such as `monitor_event`."""
    return service.post(path, {"monitor_event": {"name": "", "nodes": None}, **members}, headers=GO)


# Requests


def test_every_request_may_carry_every_member(service: Clusterm) -> None:
    everything = {"nodes": None, "addrs": None, "host_group": "", "extra_vars": "", "job": "", "config": None}
    update = go(service, "/update/nodes", **{**everything, "nodes": ["worker-w"]})
    assert update.status_code == 200
    assert update.json()["host_group"] == ""
    service.ended(update.json())
    discover = go(service, "/discover/nodes", **{**everything, "addrs": ["127.0.9.9"]})
    assert discover.status_code == 200
    service.ended(discover.json())
    assert go(service, "/globals", **{**everything, "extra_vars": "{}"}).status_code == 200
    assert go(service, "/config", **{**everything, "config": {"ansible": {}}}).status_code == 200


def test_extra_vars_come_as_a_string(service: Clusterm) -> None:
    before = service.get("/info/globals")
    assert go(service, "/globals", extra_vars='{"first": "global", "second": "global"}').json() == {
        "extra_vars": {"first": "global", "second": "global"}
    }
    job = go(service, "/update/nodes", nodes=["worker-w"], extra_vars='{"second": "own", "deep": {"a": [1]}}').json()
    assert job["extra_vars"] == {"second": "own", "deep": {"a": [1]}}
    given = json.loads(service.ended(job)["logs"][0])["extra_vars"]
    assert {key: given[key] for key in ("first", "second", "deep")} == {
        "first": "global",
        "second": "own",
        "deep": {"a": [1]},
    }
    assert go(service, "/globals", extra_vars=json.dumps(before["extra_vars"])).json() == before


def test_the_inventory_is_contiv_s(service: Clusterm) -> None:
    job = go(service, "/update/nodes", nodes=["worker-w", "127.0.1.1"]).json()
    inventory = json.loads(service.ended(job)["logs"][0])["inventory"]
    groups = inventory["all"]["children"]
    for group in groups.values():
        for host_vars in group["hosts"].values():
            del host_vars["ansible_ssh_args"], host_vars["ansible_control_path"]  # which contiv has not
    assert groups == {
        "service-worker": {
            "hosts": {
                "worker-w": {"ansible_host": "127.0.1.2", "node_name": "worker-w", "node_addr": "127.0.1.2"},
            }
        },
        "service-master": {
            "hosts": {
                "master-m": {"ansible_host": "127.0.1.1", "node_name": "master-m", "node_addr": "127.0.1.1"},
            }
        },
    }


def test_addresses_are_discovered_in_a_group_of_their_own(service: Clusterm) -> None:
    job = go(service, "/discover/nodes", addrs=["127.0.9.9", "new.example"]).json()
    groups = json.loads(service.ended(job)["logs"][0])["inventory"]["all"]["children"]
    assert set(groups) == {"cluster-node"}
    assert {host: vars_["ansible_host"] for host, vars_ in groups["cluster-node"]["hosts"].items()} == {
        "127.0.9.9": "127.0.9.9",
        "new.example": "new.example",
    }


def test_the_active_job_is_shown_streamed_and_named(service: Clusterm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    extra_vars = json.dumps({"until": str(gate), "lines": 2})
    job = go(service, "/discover/nodes", addrs=["127.0.9.9"], extra_vars=extra_vars).json()
    with service.http.stream("GET", "/info/logs/active") as response:
        assert response.headers["content-type"].startswith("text/plain")
        lines = response.iter_lines()
        assert [next(lines) for _ in range(3)][1:] == ["line 1", "line 2"]
        active = service.job("active")
        for shown in (job, active, service.job("last")):
            assert {type(shown[member]) for member in ("desc", "task", "status", "error")} == {str}
        assert active["status"] == "Running"
        assert active["logs"][1:] == ["line 1", "line 2"]

        before = service.dump()
        refusal = go(service, "/commission/nodes", nodes=["spare-s"], host_group=MASTER)
        assert refusal.status_code == 409
        phrase = f"there is already an active job, please try in sometime. Job: {job['desc']}"
        assert phrase in refusal.json()["detail"]
        assert service.dump() == before
        gate.touch()
        assert list(lines) == []
    assert service.ended(job)["status"] == "Complete"


# The configuration, in Go's spelling


def test_a_configuration_that_was_read_can_be_sent_back(service: Clusterm) -> None:
    """Its client sends the sections that it knows, with those of its own empty, and none of those that are ours."""
    shown = service.get("/config")
    ansible_keys = {
        *("configure_playbook", "cleanup_playbook", "upgrade_playbook", "playbook_location"),
        *("user", "priv_key_file", "extra_variables"),
    }
    config = {
        "serf": SERF,
        "inventory": {},
        "ansible": {key: shown["ansible"][key] for key in ansible_keys},
        "manager": {"addr": shown["manager"]["addr"]},
    }
    response = go(service, "/config", config=config)
    assert response.status_code == 200
    assert response.json() == service.get("/config") == shown


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"serf": None},
        {"serf": {}},
        {"serf": SERF},
        {"Serf": SERF},
        {"manager": {"Addr": ""}},
        {"manager": {"Addr": "127.0.0.1:0"}},
        {"inventory": None},
    ],
    ids=str,
)
def test_a_section_that_is_absent_or_as_it_is_stays(service: Clusterm, section: dict[str, Any]) -> None:
    before = service.get("/config")
    assert go(service, "/config", config=section).status_code == 200
    assert service.get("/config") == before


def test_ansible_may_change(service: Clusterm) -> None:
    before = service.get("/config")["ansible"]["user"]
    changed = go(service, "/config", config={"serf": SERF, "ansible": {"user": "vagrant"}})
    assert changed.json()["ansible"]["user"] == "vagrant"
    job = service.ended(go(service, "/update/nodes", nodes=["worker-w"]).json())
    assert "--user=vagrant" in json.loads(job["logs"][0])["arguments"], "the change is used, not only shown"
    go(service, "/config", config={"ansible": {"user": before}})
    assert service.get("/config")["ansible"]["user"] == before


# The phrases

ABSENT = """node with name or address "nobody" doesn't exists"""
NONE = "atleast one node should be specified"
ALONE = (
    "Cannot commission a worker node without existence of a master node in the cluster, "
    "make sure atleast one master node is commissioned."
)
ONLY_WORKERS = (
    "decommissioning the specified node(s) will leave only worker nodes in the cluster, "
    "make sure all worker nodes are decommissioned before last master node."
)
NO_MASTER = (
    "Updating these nodes as worker will result in no master node in the cluster, "
    "make sure atleast one node is commissioned as master."
)
LOST = (
    "one or more nodes are not in discovered state, please check their network reachability. "
    "Non-discovered nodes: [lost-l]"
)
EXISTING = "one or more nodes already exist with the specified management addresses. Existing nodes: [{}]"
NO_JSON = '"extra_vars" should be a valid json. Error: '


def moves(name: str, action: str, status: str) -> str:
    return (
        f'failed to update {name}\'s state in inventory, Error: transition from "{status}" to "{action}" is not allowed'
    )


@pytest.mark.parametrize(
    ("path", "members", "status", "phrase"),
    [
        ("/commission/nodes", {"nodes": ["nobody"], "host_group": MASTER}, 404, ABSENT),
        ("/decommission/nodes", {"nodes": ["nobody"]}, 404, ABSENT),
        ("/update/nodes", {"nodes": ["nobody"]}, 404, ABSENT),
        ("/commission/nodes", {"host_group": MASTER}, 400, NONE),
        ("/commission/nodes", {"nodes": None, "host_group": MASTER}, 400, NONE),
        ("/decommission/nodes", {}, 400, NONE),
        ("/update/nodes", {}, 400, NONE),
        ("/discover/nodes", {}, 400, NONE),
        ("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": None}}, 400, NONE),
        ("/commission/nodes", {"nodes": ["lost-l"], "host_group": MASTER}, 409, LOST),
        ("/decommission/nodes", {"nodes": ["lost-l"]}, 409, LOST),
        ("/update/nodes", {"nodes": ["lost-l"]}, 409, LOST),
        ("/commission/nodes", {"nodes": ["spare-s"]}, 400, 'invalid or empty host-group specified: ""'),
        (
            *("/commission/nodes", {"nodes": ["spare-s"], "host_group": "boss"}, 400),
            'invalid or empty host-group specified: "boss"',
        ),
        (
            *("/update/nodes", {"nodes": ["worker-w"], "host_group": "boss"}, 400),
            'invalid or empty host-group specified: "boss"',
        ),
        ("/decommission/nodes", {"nodes": ["master-m"]}, 409, ONLY_WORKERS),
        ("/update/nodes", {"nodes": ["master-m"], "host_group": WORKER}, 409, NO_MASTER),
        (
            *("/commission/nodes", {"nodes": ["worker-w"], "host_group": WORKER}, 409),
            moves("worker-w", "Provisioning", "Allocated"),
        ),
        ("/update/nodes", {"nodes": ["spare-s"]}, 409, moves("spare-s", "Maintenance", "Unallocated")),
        ("/discover/nodes", {"addrs": ["127.0.1.3"]}, 409, EXISTING.format("spare-s:127.0.1.3")),
        (
            "/discover/nodes",
            {"addrs": ["127.0.1.3", "127.0.1.1"]},
            409,
            EXISTING.format("master-m:127.0.1.1 spare-s:127.0.1.3"),
        ),
        (
            "/monitor/event",
            {"monitor_event": {"name": "discovered", "nodes": [{"label": "x", "serial": "x", "addr": "127.0.1.3"}]}},
            409,
            EXISTING.format("spare-s:127.0.1.3"),
        ),
        ("/commission/nodes", {"nodes": ["spare-s"], "host_group": MASTER, "extra_vars": "{"}, 422, NO_JSON),
        ("/decommission/nodes", {"nodes": ["spare-s"], "extra_vars": "a=1"}, 422, NO_JSON),
        ("/globals", {"extra_vars": "[]"}, 422, NO_JSON),
        ("/monitor/event", {}, 400, 'Invalid or empty event name specified: ""'),
        (
            "/monitor/event",
            {"monitor_event": {"name": "rebooted", "nodes": []}},
            400,
            'Invalid or empty event name specified: "rebooted"',
        ),
        ("/config", {}, 400, "nil value specified for clusterm configuration"),
        ("/config", {"config": None}, 400, "nil value specified for clusterm configuration"),
        *(
            (
                "/config",
                {"config": {section: values, "ansible": {"user": "eve"}}},
                400,
                f'"{section}" configuration can\'t be changed. Only changes to ansible configuration are allowed.',
            )
            for section, values in {
                "serf": {**SERF, "Addr": "127.0.0.1:7373"},
                "manager": {"addr": "0.0.0.0:9007"},
                "inventory": {"boltdb": {"dbfile": "/etc/clusterm.db"}},
            }.items()
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_refusal_has_contiv_s_phrase(
    service: Clusterm, path: str, members: dict[str, Any], status: int, phrase: str
) -> None:
    before = service.dump()
    response = go(service, path, **members)
    assert response.status_code == status, response.text
    assert phrase in response.json()["detail"]
    assert_plain(service.post(path, members), response)
    assert service.dump() == before


def assert_plain(response: httpx.Response, to_contiv: httpx.Response) -> None:
    """Check that another client gets the same problem in plain English."""
    plain, phrase = response.json(), to_contiv.json()
    assert {**plain, "detail": ""} == {**phrase, "detail": ""}
    assert plain["detail"] != phrase["detail"]
    assert not re.search("atleast|doesn't exist|sometime|invalid or empty|nil value|transition|specif", plain["detail"])


@pytest.mark.parametrize(
    ("path", "status", "phrase"),
    [
        ("/info/node/nobody", 404, ABSENT),
        ("/info/node/nobody/events", 404, ABSENT),
        ("/info/job/active", 404, 'info for "active" job doesn\'t exist'),
        ("/info/logs/active", 404, 'info for "active" job doesn\'t exist'),
        ("/info/job/first", 400, 'Invalid or empty job label specified: "first"'),
        ("/info/logs/first", 400, 'Invalid or empty job label specified: "first"'),
        ("/info/job/%20", 400, 'Invalid or empty job label specified: " "'),
    ],
)
def test_a_question_without_an_answer_has_contiv_s_phrase(
    service: Clusterm, path: str, status: int, phrase: str
) -> None:
    response = service.http.get(path, headers=GO)
    assert response.status_code == status, response.text
    assert phrase in response.json()["detail"]
    assert_plain(service.http.get(path), response)


def test_a_worker_needs_a_master(clusterm: Clusterm) -> None:
    clusterm.add_nodes("node1-a")
    response = go(clusterm, "/commission/nodes", nodes=["node1-a"], host_group=WORKER)
    assert response.status_code == 409
    assert ALONE in response.json()["detail"]
    assert clusterm.get("/info/node/node1-a")["configuration_state"]["host_group"] == MASTER


def test_there_is_no_last_job_before_the_first_even_after_a_refusal(clusterm: Clusterm) -> None:
    """contiv made the refused one the last."""
    clusterm.add_nodes("node1-a")
    assert go(clusterm, "/commission/nodes", nodes=["node1-a"]).status_code == 400
    response = clusterm.http.get("/info/job/last", headers=GO)
    assert response.status_code == 404
    assert 'info for "last" job doesn\'t exist' in response.json()["detail"]
