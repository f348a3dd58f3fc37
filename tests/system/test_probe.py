"""The probe: real sockets that listen, stop listening and listen again, and what the store says of the nodes then."""

import json

from support.service import Clusterm, wait_for


def test_a_service_says_that_nobody_answers_and_stops_while_it_looks(new_clusterm: Clusterm) -> None:
    new_clusterm.config["monitor"] = {"interval": 0.1, "timeout": 60, "misses": 2}
    new_clusterm.config["ansible"]["extra_variables"] = json.dumps({"ansible_port": 1})
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a", "node2-b")

    def state(name: str) -> str:
        return str(clusterm.get(f"/info/node/{name}")["inventory_state"]["state"])

    wait_for(lambda: {state("node1-a"), state("node2-b")} == {"Disappeared"}, "both nodes to be missed")
    wait_for(lambda: "no node answers at its ssh port" in clusterm.log.read_text(), "the hint")
    refusal = clusterm.post("/commission/nodes", {"nodes": ["node1-a"], "host_group": "service-master"})
    assert refusal.status_code == 409
    assert clusterm.stop() == 0
    assert clusterm.log.read_text().count("no node answers at its ssh port") == 1
    assert "Traceback" not in clusterm.log.read_text()
