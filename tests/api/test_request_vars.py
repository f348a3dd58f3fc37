"""Variables that choose how ansible works: no way into the service accepts them from a client."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

HOSTILE = {
    "ansible_ssh_common_args": "-o ProxyCommand=id",
    "ansible_connection": "local",
    "ansible_port": "22 -x",
    "fine": 1,
}
NAMED = ("ansible_ssh_common_args", "ansible_connection", "ansible_port", "ansible.request_vars_allowed")

GROUP = "service-master"

OTHER_OBJECTS = {("/config", "config"), ("/import/nodes", "map")}
"""Members of requests with free names that are not variables."""

OTHER_MEMBERS: dict[str, dict[str, Any]] = {
    "/discover/nodes": {"addrs": ["10.0.0.9"]},
    "/job/{job}/retry": {},
    "/plan/job/{job}/retry": {},
}
"""What a request with variables needs besides, where it is not nodes and a host group."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service with a node, whose jobs write what they were given."""
    module_clusterm.use_program(SCRIPTED)
    clusterm = module_clusterm.start()
    clusterm.add_nodes("here-1", "there-2")
    return clusterm


def free_objects(schema: Any, definitions: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the members of a schema that are objects with any names; `[]` is an item of a list."""
    if reference := schema.get("$ref"):
        schema = definitions[reference.rpartition("/")[2]]
    for part in [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])]:
        yield from free_objects(part, definitions, path)
    if schema.get("type") == "object" and "properties" not in schema:
        yield path
    for name, member in schema.get("properties", {}).items():
        yield from free_objects(member, definitions, (*path, name))
    if "items" in schema:
        yield from free_objects(schema["items"], definitions, (*path, "[]"))


def test_every_route_with_variables_is_closed(service: Clusterm) -> None:
    document = service.get("/openapi.json")
    definitions = document["components"]["schemas"]
    found = set()
    for path_of_route, operations in document["paths"].items():
        route = path_of_route.removeprefix("/v1")
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                found |= {(method, route, path) for path in free_objects(content["schema"], definitions)}
    variables = {(method, route, path) for method, route, path in found if (route, *path) not in OTHER_OBJECTS}
    assert {route for _, route, _ in variables} >= {
        "/commission/nodes",
        "/decommission/nodes",
        "/update/nodes",
        "/discover/nodes",
        "/plan/{action}/nodes",
        "/globals",
        "/node/{name}/set",
        "/import/nodes",
        "/job/{job}/retry",
        "/plan/job/{job}/retry",
    }
    service.run("commission", ["here-1"], extra_vars={"status": 1})
    before = service.dump()
    for _, route, path in sorted(variables - {("post", "/import/nodes", ("nodes", "[]", "vars"))}):
        (member,) = path
        body: dict[str, Any] = {member: HOSTILE}
        if member == "extra_vars" and route != "/globals":
            body |= OTHER_MEMBERS.get(route, {"nodes": ["here-1"], "host_group": GROUP})
        response = service.post(route.format(name="here-1", action="commission", job="last"), body)
        assert response.status_code == 422, (route, response.text)
        assert all(name in response.json()["detail"] for name in NAMED), response.text
        assert "fine" not in response.json()["detail"]
        body[member] = {"groups": {}}
        reserved = service.post(route.format(name="here-1", action="commission", job="last"), body)
        assert (reserved.status_code, "groups" in reserved.json()["detail"]) == (422, True), (route, reserved.text)
    assert service.dump() == before


def test_extra_vars_as_a_string_are_checked_as_well(service: Clusterm) -> None:
    response = service.post("/globals", {"extra_vars": json.dumps(HOSTILE)})
    assert response.status_code == 422
    assert all(name in response.json()["detail"] for name in NAMED)


def test_an_import_leaves_them_out_and_says_so(service: Clusterm, tmp_path: Any) -> None:
    inventory = tmp_path / "inventory.ini"
    inventory.write_text(
        "edge1 ansible_host=10.9.8.1 ansible_connection=local ansible_user=ann environment=prod rack=a1\n"
        "edge2 ansible_host=10.9.8.2 ansible_port=2222\n"
    )
    run = service.clusterctl("node", "import", str(inventory))
    assert run.returncode == 0, run.stderr
    assert "without environment, ansible_connection" in run.stdout
    node = {"label": "edge", "serial": "3", "addr": "10.9.8.3", "vars": HOSTILE}
    answer = service.post("/import/nodes", {"nodes": [node]}).json()
    assert set(answer["nodes"][0]["left_out"]) == set(HOSTILE) - {"fine"}
    assert answer["nodes"][0]["imported"]
    kept = {
        name: node["configuration_state"]["inventory_vars"]
        for name, node in service.get("/info/nodes").items()
        if name.startswith("edge")
    }
    for variables in kept.values():
        del variables["node_name"], variables["node_addr"]
    assert kept == {
        "edge1-10.9.8.1": {"ansible_user": "ann", "rack": "a1"},
        "edge2-10.9.8.2-2222": {"ansible_port": 2222},
        "edge-3": {"fine": 1},
    }


def test_harmless_ones_reach_ansible(service: Clusterm) -> None:
    own = {"ansible_port": 2222, "ansible_user": "ann", "ansible_become": True, "ansible_password": "canary"}
    assert service.post("/node/there-2/set", {"vars": own}).is_success
    assert service.post("/node/there-2/set", {"vars": {"ansible_password": "********", "rack": "a"}}).is_success
    assert service.post("/globals", {"extra_vars": {"ansible_remote_tmp": "/var/tmp"}}).is_success
    job = service.run("discover", ["127.0.9.9"], extra_vars={"ansible_become_user": "postgres"})
    given = service.program_input(job)["extra_vars"]
    assert (given["ansible_remote_tmp"], given["ansible_become_user"]) == ("/var/tmp", "postgres")
    job = service.run("commission", ["there-2"])
    hosts = service.program_input(job)["inventory"]["all"]["children"]["service-master"]["hosts"]
    assert {**hosts["there-2"], **own} == hosts["there-2"]
    service.post("/globals", {"extra_vars": {}})


def test_no_request_changes_what_is_allowed(service: Clusterm) -> None:
    before = service.get("/config")
    change = {"config": {"ansible": {"request_vars_allowed": ["*"], "user": "eve"}}}
    response = service.post("/config", change)
    assert (response.status_code, service.get("/config")) == (400, before)
    assert "ansible.request_vars_allowed can only be changed in the configuration file" in response.json()["detail"]
    same = {"config": {"ansible": {"request_vars_allowed": before["ansible"]["request_vars_allowed"]}}}
    assert service.post("/config", same).status_code == 200


def test_what_a_site_allows_is_used(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.config["ansible"]["request_vars_allowed"] = ["ansible_connection", "ansible_winrm_*"]
    clusterm = new_clusterm.start()
    variables = {"ansible_connection": "local", "ansible_winrm_scheme": "http"}
    job = clusterm.run("discover", ["127.0.9.9"], extra_vars=variables)
    given = clusterm.program_input(job)["extra_vars"]
    assert {**given, **variables} == given
    assert clusterm.post("/globals", {"extra_vars": {"ansible_port": 22}}).status_code == 422


def test_what_an_earlier_version_has_accepted_is_told_and_never_used(new_clusterm: Clusterm) -> None:
    """Variables in the database that are not allowed: shown, told at the start, and the jobs with them are refused."""
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.config["manager"]["max_active_jobs"] = 4
    clusterm = new_clusterm.start()
    clusterm.add_nodes("old-1", "new-2")
    gate = clusterm.root / "gate"
    running = clusterm.begin("commission", ["new-2"], extra_vars={"until": str(gate)})
    queued = clusterm.begin("discover", ["127.0.9.8"], queue=True)
    done = clusterm.run("discover", ["127.0.9.9"])
    clusterm.stop()
    with sqlite3.connect(clusterm.database) as connection:
        connection.execute(
            "UPDATE nodes SET inventory_vars = ? WHERE name = 'old-1'", (json.dumps({"ansible_connection": "local"}),)
        )
        connection.execute(
            "UPDATE jobs SET extra_vars = ? WHERE id = ?", (json.dumps({"ansible_ssh_args": "-x"}), done["id"])
        )
    connection.close()
    clusterm.start()
    logged = clusterm.log.read_text()
    assert "variables that ansible.request_vars_allowed does not allow: node old-1 (ansible_connection)" in logged
    shown = clusterm.get("/info/node/old-1")["configuration_state"]["inventory_vars"]
    assert shown["ansible_connection"] == "local"
    plan = clusterm.post("/plan/commission/nodes", {"nodes": ["old-1"], "host_group": "service-master"}).json()
    assert "ansible_connection" in plan["objections"][0]["reason"]
    refused = clusterm.post("/commission/nodes", {"nodes": ["old-1"], "host_group": "service-master"})
    assert refused.status_code == 409
    assert '"ansible_connection" is not in ansible.request_vars_allowed' in refused.json()["detail"]
    retried = clusterm.post(f"/job/{done['id']}/retry")
    assert (retried.status_code, "ansible_ssh_args" in retried.json()["detail"]) == (422, True)

    gate.touch()
    assert clusterm.ended(running)["status"] == "Complete"
    assert clusterm.ended(queued)["status"] == "Complete"
    assert clusterm.post("/node/old-1/set", {"vars": {"rack": "a"}}).is_success, "other variables may still be set"
    assert clusterm.post("/node/old-1/set", {"vars": {"ansible_connection": None}}).is_success
    assert clusterm.run("commission", ["old-1"])["status"] == "Complete"


def test_a_queued_job_with_refused_variables_is_not_started(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    gate = clusterm.root / "gate"
    running = clusterm.begin("commission", ["a-1"], extra_vars={"until": str(gate)})
    wait_for(lambda: clusterm.job(running["id"], logs=False)["lines"], "the job to run")
    queued = clusterm.begin("discover", ["127.0.9.8"], queue=True, extra_vars={"ansible_port": 22})
    clusterm.kill()
    clusterm.config["ansible"]["request_vars_allowed"] = []
    clusterm.start()
    gate.touch()
    assert clusterm.ended(running)["status"] == "Complete"
    ended = clusterm.ended(queued)
    assert (ended["status"], '"ansible_port" is not in ansible.request' in ended["error"]) == ("Errored", True), ended
