"""What is changed about nodes without a job: host vars, host group, name; import and removal."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

INI = """
[web]
web1 ansible_host=10.9.0.1 rack=a1 ports='[80, 443]' db_password=canary
web2.example ansible_host=10.9.0.2
[store]
disk1 ansible_host=10.9.0.3
[service-master]
head ansible_host=10.9.0.4
[backend:children]
store
[backend:vars]
tier=back
[lost]
no_address ansible_host=10.9.0
twin ansible_host=10.9.0.4
taken ansible_host=127.0.1.1
both ansible_host=10.9.0.6
secret ansible_host=10.9.0.7 class=mine
[web:vars]
site=one
[service-worker]
both
[also]
both
"""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


def node(service: Clusterm, name: str) -> dict[str, Any]:
    return dict(service.get(f"/info/node/{name}"))


def changes(service: Clusterm, name: str) -> list[tuple[str, str, dict[str, Any]]]:
    events = service.get(f"/info/node/{name}/events")["items"]
    return [(event["event"], event["by"], event["changes"]) for event in events if event["cause"] == "user"]


def refused(service: Clusterm, path: str, body: Any, status: int) -> str:
    before = service.dump()
    response = service.post(path, body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert service.dump() == before
    return str(response.json()["detail"])


def test_host_vars_are_set_shown_and_given_to_ansible(service: Clusterm) -> None:
    service.add_nodes("set-1")
    given = ["rack=a1", "api_token=canary", '{"ports": [80, 443]}', "gone=x"]
    assert service.clusterctl("node", "set", "set-1", *given).returncode == 0
    run = service.clusterctl("node", "set", "set-1", "gone=", "rack=a2", "--host-group", "service-worker")
    assert run.returncode == 0
    assert "rack=a2, api_token=********, ports=[80, 443]" in run.stdout
    assert "canary" not in run.stdout
    shown = node(service, "set-1")["configuration_state"]
    assert shown["host_group"] == "service-worker"
    own = {"node_name": "set-1", "node_addr": shown["ssh_address"]}
    assert shown["inventory_vars"] == own | {"rack": "a2", "api_token": "********", "ports": [80, 443]}
    assert service.post("/node/set-1/set", {"vars": {"api_token": "********", "rack": "a2"}}).is_success

    assert changes(service, "set-1") == [
        (
            "changed",
            "127.0.0.1",
            {
                "vars.rack": [None, "a1"],
                "vars.api_token": [None, "********"],
                "vars.ports": [None, [80, 443]],
                "vars.gone": [None, "x"],
            },
        ),
        (
            "changed",
            "127.0.0.1",
            {"host_group": ["service-master", "service-worker"], "vars.rack": ["a1", "a2"], "vars.gone": ["x", None]},
        ),
    ]
    last = service.get("/info/jobs/timeline")["items"][-1]
    assert last["detail"] == "host_group service-master → service-worker, rack a1 → a2, gone x → none"
    job = service.run("commission", ["set-1"])
    hosts = service.program_input(job)["inventory"]["all"]["children"]["service-master"]["hosts"]
    assert hosts["set-1"]["api_token"] == "canary"
    assert hosts["set-1"]["ports"] == [80, 443]
    assert "node update set-1 --host-group" in refused(
        service, "/node/set-1/set", {"host_group": "service-worker", "vars": {"a": 1}}, 409
    )


@pytest.mark.parametrize(
    "name",
    ["ansible_host", "node_name", "groups", "hostvars", "", "a b", "a-b", "1a", "class", "ä", "x" * 129, "a\n"],
)
def test_names_that_are_taken_or_none_are_refused(service: Clusterm, name: str) -> None:
    assert "vars" in refused(service, "/node/any-1/set", {"vars": {name: "x"}}, 422)


@pytest.mark.parametrize(
    "value",
    [
        {"__ansible_vault": "x"},
        [{"a": {"__ansible_unsafe": "x"}}],
        "x" * 65536,
        json.loads("[" * 101 + "]" * 101),
    ],
)
def test_values_that_would_be_more_than_values_are_refused(service: Clusterm, value: Any) -> None:
    refused(service, "/node/any-1/set", {"vars": {"a": value}}, 422)


def test_a_node_has_only_so_many_host_vars(service: Clusterm) -> None:
    service.add_nodes("many-1")
    assert service.post("/node/many-1/set", {"vars": {"a": "x" * 40_000}}).is_success
    assert "64 KiB" in refused(service, "/node/many-1/set", {"vars": {"b": "x" * 40_000}}, 400)


def test_a_renamed_node_keeps_its_history(service: Clusterm) -> None:
    service.add_nodes("old-x", "other-x")
    service.run("commission", ["old-x"])
    run = service.clusterctl("node", "rename", "old-x", "new-x", "--json")
    assert json.loads(run.stdout)["monitoring_state"]["label"] == "new"
    assert service.http.get("/info/node/old-x").status_code == 404
    events = [event["event"] for event in service.get("/info/node/new-x/events")["items"]]
    assert events == ["discovered", "commissioning", "commissioned", "renamed"]
    assert changes(service, "new-x") == [("renamed", "127.0.0.1", {"name": ["old-x", "new-x"]})]
    assert [job["nodes"] for job in service.get("/info/jobs", node="new-x")["items"]] == [["new-x"]]
    assert service.run("update", ["new-x"])["status"] == "Complete"
    assert service.post("/node/new-x/rename", {"name": "new-x"}).is_success

    assert "exists already" in refused(service, "/node/new-x/rename", {"name": "other-x"}, 409)
    assert "host group" in refused(service, "/node/new-x/rename", {"name": "service-worker"}, 400)
    for bad in ("", "nodash", "-x", "a-", "a b-x", "a/b-x", "x" * 300 + "-x"):
        refused(service, "/node/new-x/rename", {"name": bad}, 400)
    refused(service, "/node/nobody/rename", {"name": "a-b"}, 404)


def test_a_removed_node_leaves_its_history(service: Clusterm, tmp_path: Path) -> None:
    service.add_nodes("gone-1")
    service.run("commission", ["gone-1"])
    assert "decommission it first" in refused(service, "/node/gone-1/remove", {}, 409)
    gate = tmp_path / "gate"
    job = service.begin("update", ["gone-1"], extra_vars={"until": str(gate)})
    assert f"is in job {job['id']}" in refused(service, "/node/gone-1/remove", {"force": True}, 409)
    assert f"is in job {job['id']}" in refused(service, "/node/gone-1/rename", {"name": "a-b"}, 409)
    gate.touch()
    service.ended(job)

    run = service.clusterctl("node", "remove", "gone-1", "--force")
    assert (run.returncode, run.stdout.splitlines()[0].split()) == (0, ["Node", "gone-1"])
    assert "gone-1" not in service.get("/info/nodes")
    refused(service, "/node/gone-1/remove", {"force": True}, 404)
    history = service.clusterctl("node", "events", "gone-1")
    assert "gone-1 removed" in history.stdout.splitlines()[-1]
    assert service.get("/info/jobs/timeline")["items"][-1]["event"] == "removed"
    service.add_nodes("gone-1")
    assert [e["event"] for e in service.get("/info/node/gone-1/events")["items"]][-2:] == ["removed", "discovered"]


def test_an_inventory_is_imported(service: Clusterm, tmp_path: Path) -> None:
    if "127.0.1.1" not in {n["monitoring_state"]["management_address"] for n in service.get("/info/nodes").values()}:
        service.add_nodes("first-1")
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(INI)
    before = service.dump()
    dry = service.clusterctl("node", "import", str(inventory), "--dry-run", "--map", "web=service-worker", "--json")
    assert service.dump() == before
    run = service.clusterctl(
        "node", "import", str(inventory), "--map", "web=service-worker", "--map", "also=service-master"
    )

    assert sorted(line.split()[1] for line in run.stdout.splitlines() if "  imported" in line) == [
        "both-10.9.0.6",
        "disk1-10.9.0.3",
        "head-10.9.0.4",
        "secret-10.9.0.7",
        "web1-10.9.0.1",
        "web2.example-10.9.0.2",
    ], run.stdout + run.stderr
    skipped = {line.split()[0]: line for line in run.stdout.splitlines() if "  skipped" in line}
    assert "neither an IP address nor a host name" in skipped["no_address"]
    assert "other nodes have these addresses: head-10.9.0.4 (10.9.0.4)" in skipped["twin"]
    assert "other nodes have these addresses" in skipped["taken"]
    *notes, count = run.stderr.splitlines()
    assert count == "6 of 9 hosts imported"
    assert notes == [
        (
            "class of secret not imported: 'class' cannot be the name of a host var: "
            "use letters, digits and underscores, no digit first"
        )
    ]
    outcomes = json.loads(dry.stdout)
    assert outcomes["dry_run"]
    assert sum(one["imported"] for one in outcomes["nodes"]) == 6

    web, disk = node(service, "web1-10.9.0.1"), node(service, "disk1-10.9.0.3")
    assert web["configuration_state"]["host_group"] == "service-worker"
    assert web["configuration_state"]["inventory_vars"] == {
        "node_name": "web1-10.9.0.1",
        "node_addr": "10.9.0.1",
        "rack": "a1",
        "ports": [80, 443],
        "db_password": "********",
        "site": "one",
    }
    assert disk["configuration_state"]["inventory_vars"]["tier"] == "back"
    assert disk["inventory_state"]["status"] == "Unallocated"
    assert "canary" not in json.dumps(changes(service, "web1-10.9.0.1"))

    again = service.clusterctl("node", "import", str(inventory), "--map", "web=service-worker")
    assert "node web1-10.9.0.1 exists already" in again.stdout
    assert again.stderr.splitlines()[-1] == "clusterctl: 0 of 9 hosts imported, 6 exist already"
    assert again.returncode == 1


def test_what_is_no_inventory_is_said_to_be_none(service: Clusterm, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("all: [")
    for arguments, code, reason in (
        ([str(tmp_path / "absent")], 2, "no such file"),
        ([str(broken)], 2, f"cannot read {broken}"),
        ([str(broken), "--map", "web"], 2, "GROUP=HOST_GROUP"),
    ):
        run = service.clusterctl("node", "import", *arguments)
        assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (code, "", 1), run.stderr
        assert reason in run.stderr
    yaml = tmp_path / "hosts.yml"
    yaml.write_text("all: {children: {service-worker: {hosts: {y1: {ansible_host: 10.9.1.1}}}}}")
    assert "nowhere" in service.clusterctl("node", "import", str(yaml), "--map", "all=nowhere").stderr
    assert service.clusterctl("node", "import", str(yaml)).stderr == "1 of 1 hosts imported\n"
    assert node(service, "y1-10.9.1.1")["configuration_state"]["host_group"] == "service-worker"


def test_ranges_and_files_of_addresses_are_discovered(service: Clusterm, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("# rack 1\n10.8.0.1-2\n\n  10.8.0.2   # again\nspare.example\n")
    run = service.clusterctl("discover", "10.8.0.0/30", "-f", str(hosts), "--wait", "--json")
    assert json.loads(run.stdout)["nodes"] == ["10.8.0.1", "10.8.0.2", "spare.example"], run.stderr
    run = service.clusterctl("discover", "-f", "-", "--wait", "--json", input="10.8.0.3\n")
    assert json.loads(run.stdout)["nodes"] == ["10.8.0.3"]
    assert service.clusterctl("discover").returncode == 2
    assert "more than 65536" in service.clusterctl("discover", "10.0.0.0/8").stderr
    wait_for(lambda: not service.processes(), "the jobs to be over")
