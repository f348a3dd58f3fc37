"""Addresses in any spelling, ports, names that are made fit, and reports of which a part is rejected."""

import json
import re
from typing import Any

import httpx
import pytest
from support.host_keys import KEY
from support.programs import SCRIPTED
from support.service import Clusterm

from clusterm.schemas import MonitorAnswer

V6 = ["2001:db8::77", "2001:db8:0::77", "2001:DB8::77", "[2001:db8::77]", "2001:0db8:0000:0000:0000:0000:0000:0077"]
V4 = ["10.7.7.7", "::ffff:10.7.7.7", "::FFFF:0a07:0707"]
NAMES = ["h1.example.org", "H1.example.org", "h1.example.org."]
IDN = ["xn--bcher-kva.example", "bücher.example", "Bücher.Example."]
SPELLINGS = {"v6-a": V6, "v4-a": V4, "name-a": NAMES, "idn-a": IDN, "zone-a": ["fe80::7%eth0", "FE80:0::7%eth0"]}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A cluster with a node for each kind of address, and two nodes that share one."""
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.config["ansible"]["register_discovered"] = False
    service = module_clusterm.start()
    for name, spellings in SPELLINGS.items():
        assert report(service, name.removesuffix("-a"), "a", spellings[-1]).status_code == 200
    for port in (2201, 2202):
        assert report(service, "vm", str(port), f"127.0.7.1:{port}").status_code == 200
    return service


def report(service: Clusterm, label: str, serial: str, addr: str, **more: Any) -> httpx.Response:
    return report_all(service, {"label": label, "serial": serial, "addr": addr, **more})


def report_all(service: Clusterm, *nodes: Any, name: str = "discovered") -> httpx.Response:
    return service.post("/monitor/event", {"monitor_event": {"name": name, "nodes": list(nodes)}})


EVERY = [(name, spellings[0], text) for name, spellings in SPELLINGS.items() for text in spellings]


@pytest.mark.parametrize(("name", "form", "text"), EVERY)
def test_a_node_is_found_by_each_spelling_of_its_address(service: Clusterm, name: str, form: str, text: str) -> None:
    path = text.replace("%", "%25")
    node = service.get(f"/info/node/{path}")
    assert node["inventory_state"]["name"] == name
    assert node["monitoring_state"]["management_address"] == form
    assert node["configuration_state"]["ssh_address"] == form
    assert list(service.get("/info/nodes", name=text)) == [name]
    plan = service.post("/plan/commission/nodes", {"nodes": [text], "host_group": "service-master"}).json()
    assert [each["inventory_state"]["name"] for each in plan["nodes"]] == [name]
    assert service.get(f"/info/node/{path}/events")["items"][0]["node"] == name
    assert [event["node"] for event in service.get("/info/jobs/timeline", node=text)["items"]] == [name]


@pytest.mark.parametrize(("name", "form", "text"), EVERY)
def test_no_spelling_makes_a_second_node_of_an_address(service: Clusterm, name: str, form: str, text: str) -> None:
    before = service.dump()
    refusal = f"other nodes have these addresses: {name} ({form})"
    for response in (report(service, "other", "o", text), service.post("/discover/nodes", {"addrs": [text]})):
        assert response.status_code == 409
        assert refusal in response.json()["detail"]
    imported = service.post("/import/nodes", {"nodes": [{"label": "other", "addr": text}]}).json()["nodes"][0]
    assert (imported["imported"], imported["address"]) == (False, form)
    assert refusal in imported["reason"]
    assert report(service, name.removesuffix("-a"), "a", text).status_code == 200, "the node itself has not moved"
    assert service.dump() == before


def test_the_targets_of_a_job_count_once_whatever_their_spelling(service: Clusterm) -> None:
    job = service.run(
        "discover", ["2001:DB8::99", "2001:db8:0::99", "[2001:db8::99]", "H9.example.org", "h9.example.org."]
    )
    assert job["nodes"] == ["2001:db8::99", "h9.example.org"]
    hosts = service.program_input(job)["inventory"]["all"]["children"]["cluster-node"]["hosts"]
    assert {name: host["ansible_host"] for name, host in hosts.items()} == {name: name for name in job["nodes"]}
    for text in ("2001:db8:0::99", "H9.example.org."):
        assert [each["id"] for each in service.get("/info/jobs", node=text)["items"]] == [job["id"]]
    assert service.run("commission", [*V6, "v6-a"])["nodes"] == ["v6-a"]
    assert service.get("/info/jobs", node=V6[2])["items"][0]["nodes"] == ["v6-a"]


def test_a_job_lists_its_lines_and_tasks_by_any_spelling(service: Clusterm) -> None:
    job = service.run("discover", ["2001:db8::98"])
    for path in ("logs", "job"):
        tail = "" if path == "logs" else "/tasks"
        assert service.http.get(f"/info/{path}/{job['id']}{tail}", params={"node": "2001:DB8:0::98"}).status_code == 200


def test_host_keys_belong_to_an_address_in_any_spelling(service: Clusterm) -> None:
    trusted = service.post("/node/2001:DB8::AA/host-keys", {"keys": [KEY]}).json()
    assert trusted["name"] == "2001:db8::aa"
    job = service.run("discover", ["2001:db8:0::aa"])
    hosts = service.program_input(job)["inventory"]["all"]["children"]["cluster-node"]["hosts"]
    assert "StrictHostKeyChecking=yes" in hosts["2001:db8::aa"]["ansible_ssh_args"]
    assert service.post("/node/[2001:db8::aa]/host-keys", {"keys": []}).json()["forgotten"]


# Ports


def test_nodes_share_an_address_at_different_ports(service: Clusterm) -> None:
    node = service.get("/info/node/127.0.7.1:2201")
    assert node["inventory_state"]["name"] == "vm-2201"
    assert node["monitoring_state"]["management_address"] == "127.0.7.1"
    assert (node["configuration_state"]["ssh_port"], node["configuration_state"]["inventory_vars"]["ansible_port"]) == (
        2201,
        2201,
    )
    before = service.dump()
    for response in (
        service.http.get("/info/node/127.0.7.1"),
        service.post("/commission/nodes", {"nodes": ["127.0.7.1"], "host_group": "service-master"}),
        service.post("/node/127.0.7.1/remove"),
    ):
        assert response.status_code == 409
        assert (
            'several nodes have the address "127.0.7.1": vm-2201 (127.0.7.1:2201), vm-2202' in response.json()["detail"]
        )
    taken = report(service, "vm", "x", "127.0.7.1", port=2202)
    assert taken.status_code == 409
    assert "other nodes have these addresses: vm-2202 (127.0.7.1:2202)" in taken.json()["detail"]
    moved = service.post("/node/vm-2201/set", {"vars": {"ansible_port": 2202}})
    assert moved.status_code == 409
    assert service.http.get("/info/node/127.0.7.1:2203").status_code == 404
    assert service.dump() == before
    shown = service.clusterctl("nodes", "get").stdout
    assert "127.0.7.1:2201" in shown
    assert "127.0.7.1:2202" in shown


def test_a_port_without_a_node_can_be_discovered_at_the_address_of_one(service: Clusterm) -> None:
    with_port = service.post("/discover/nodes", {"addrs": ["127.0.7.1:2203"]})
    assert with_port.status_code == 422
    assert "give the port as the extra var ansible_port" in with_port.json()["detail"]
    assert (
        service.post("/discover/nodes", {"addrs": ["127.0.7.1"], "extra_vars": {"ansible_port": 2202}}).status_code
        == 409
    )
    job = service.run("discover", ["127.0.7.1"], extra_vars={"ansible_port": 2203})
    assert job["status"] == "Complete"
    assert service.run("discover", ["127.0.7.1"])["status"] == "Complete", "22 is free, too"


def test_a_report_moves_a_node_to_another_port_and_keeps_the_port_that_it_does_not_name(service: Clusterm) -> None:
    report(service, "mover", "m", "127.0.7.2", port=2300)
    assert service.post("/node/mover-m/set", {"vars": {"api_token": "canary"}}).is_success, "encrypted with the port"
    report(service, "mover", "m", "127.0.7.3")
    assert service.get("/info/node/127.0.7.3:2300")["inventory_state"]["name"] == "mover-m"
    report(service, "mover", "m", "127.0.7.3:2301")
    event = service.get("/info/node/mover-m/events")["items"][-1]
    assert event["detail"] == "at 127.0.7.3:2301, was at 127.0.7.3:2300"
    assert event["changes"] == {"vars.ansible_port": [2300, 2301]}
    job = service.run("commission", ["mover-m"])
    hosts = service.program_input(job)["inventory"]["all"]["children"]["service-master"]["hosts"]
    assert (hosts["mover-m"]["ansible_port"], hosts["mover-m"]["api_token"]) == (2301, "canary")


def test_two_machines_behind_one_address_are_imported(service: Clusterm) -> None:
    nodes: list[dict[str, Any]] = [
        {"label": f"box{port}", "addr": "127.0.7.9", "vars": {"ansible_port": port}} for port in (22, 2222, 2222)
    ]
    nodes[2]["label"] = "late"
    answer = service.post(
        "/import/nodes", {"nodes": [*nodes, {"label": "bracket", "addr": "[2001:DB8::5]:2200"}]}
    ).json()
    assert [(each["node"], each["imported"]) for each in answer["nodes"]] == [
        ("box22-127.0.7.9", True),
        ("box2222-127.0.7.9-2222", True),
        ("late-127.0.7.9-2222", False),
        ("bracket-2001-db8--5-2200", True),
    ]
    assert "box2222-127.0.7.9-2222 (127.0.7.9:2222)" in answer["nodes"][2]["reason"]
    assert service.get("/info/node/2001:db8::5")["configuration_state"]["ssh_port"] == 2200


def test_a_node_is_added_with_its_port(service: Clusterm) -> None:
    added = service.clusterctl("node", "add", "My host", "--addr", "[2001:DB8::6]:2222", "--json")
    assert added.returncode == 0, added.stderr
    node = json.loads(added.stdout)
    assert node["inventory_state"]["name"] == "My-host-2001-db8--6-2222"
    assert node["configuration_state"]["ssh_port"] == 2222
    shown = service.clusterctl("node", "get", "2001:db8:0::6").stdout
    assert re.search(r"Address +\[2001:db8::6\]:2222", shown)
    wrong = service.clusterctl("node", "add", "x", "--addr", "10.0.0.01")
    assert wrong.returncode == 2
    assert "--addr: '10.0.0.01' is neither an IP address nor a host name: an IPv4 address has four" in wrong.stderr


# Reports of which a part is rejected


def test_the_good_nodes_of_a_report_are_stored_and_the_others_named(service: Clusterm) -> None:
    good = {"label": "esx 1", "serial": "VMware-56 4d 8a", "addr": "127.0.8.1"}
    response = report_all(
        service,
        {"label": "bad", "serial": "b", "addr": "not an address"},
        good,
        {"label": "thief", "serial": "t", "addr": "127.0.8.1"},
        {"label": "--", "serial": "b", "addr": "127.0.8.2"},
        7,
        name="DISCOVERED",
    )
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"esx-1-VMware-56-4d-8a", "rejected"}
    assert answer["esx-1-VMware-56-4d-8a"]["monitoring_state"]["serial_number"] == "VMware-56-4d-8a"
    reasons = {each["node"]: each["reason"] for each in answer["rejected"]}
    assert list(reasons) == ["thief-t", "bad-b", "---b", "nodes.4"]
    assert "esx-1-VMware-56-4d-8a (127.0.8.1)" in reasons["thief-t"]
    assert reasons["bad-b"] == "addr: 'not an address' is neither an IP address nor a host name"
    assert reasons["---b"].startswith("label: '--' is no valid name")
    parsed = MonitorAnswer.model_validate(answer)
    assert [each.node for each in parsed.rejected] == list(reasons)
    assert '4 reported nodes were rejected, first "thief-t"' in service.log.read_text()
    gone = report_all(service, {"label": "nobody", "serial": "n", "addr": "127.0.8.1"}, good, name="Disappeared")
    assert gone.status_code == 200
    assert gone.json()["esx-1-VMware-56-4d-8a"]["inventory_state"]["state"] == "Disappeared"
    assert [each["node"] for each in gone.json()["rejected"]] == ["nobody-n"]


def test_a_report_of_which_nothing_can_be_stored_is_an_error(service: Clusterm) -> None:
    before = service.dump()
    bad = {"label": "bad", "serial": "b", "addr": "not an address"}
    thief = {"label": "thief", "serial": "t", "addr": V6[0]}
    assert report_all(service, bad, bad).status_code == 422
    conflict = report_all(service, thief, bad)
    assert conflict.status_code == 409
    assert conflict.json()["detail"].endswith(f"v6-a ({V6[0]}) (and 1 more nodes were rejected)")
    assert service.dump() == before
