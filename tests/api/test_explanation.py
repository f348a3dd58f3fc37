"""The explanation of a node, and that the service acts accordingly."""

import shlex

from support.programs import SCRIPTED
from support.service import Clusterm


def test_the_service_does_as_it_says(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    assert clusterm.http.get("/info/node/nobody/explain").status_code == 404
    failed = clusterm.run("commission", ["node1-a"], extra_vars={"status": 3})
    said = clusterm.get("/info/node/127.0.1.1/explain")
    assert (said["node"], said["status"], said["job"]["id"]) == ("node1-a", "Unallocated", failed["id"])
    assert said["since"] == clusterm.get("/info/node/node1-a/events")["items"][-1]["at"]
    refused = [step for step in said["next_steps"] if not step["allowed"]]
    assert len(refused) == 2
    for step in refused:
        run = clusterm.clusterctl(*shlex.split(step["command"])[1:])
        assert (run.returncode, run.stderr) == (1, f"clusterctl: {step['reason']}\n")
    (retry,) = (step for step in said["next_steps"] if "retry" in step["command"])
    assert retry["allowed"]

    gate = clusterm.root / "gate"
    running = clusterm.begin("commission", ["node1-a"], extra_vars={"until": str(gate)})
    waiting = clusterm.begin("update", ["node1-a"], queue=True)
    said = clusterm.get("/info/node/node1-a/explain")
    assert (said["status"], said["job"]["id"], said["waiting"]) == ("Provisioning", running["id"], [waiting["id"]])
    assert [step["command"] for step in said["next_steps"] if step["allowed"]] == [
        f"clusterctl job cancel {running['id']}"
    ]
    clusterm.post(f"/job/{waiting['id']}/cancel")
    gate.touch()
    clusterm.ended(running)

    clusterm.http.post("/manager/drain")
    said = clusterm.get("/info/node/node1-a/explain")
    assert {"drained" in step["reason"] for step in said["next_steps"] if "update" in step["command"]} == {True}
    shown = clusterm.clusterctl("node", "explain", "node1-a")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("node1-a is Allocated: part of the cluster\n")
