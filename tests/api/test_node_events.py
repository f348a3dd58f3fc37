"""The events of a node over REST and in clusterctl."""

from support.programs import SCRIPTED
from support.service import Clusterm

STATE = {"state": ["Discovered", "Disappeared"]}


def test_every_change_of_a_node_is_an_event_with_its_cause(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("n-1")
    clusterm.run("commission", ["n-1"])
    clusterm.run("update", ["n-1"], extra_vars={"status": 2})
    gone = {"name": "disappeared", "nodes": [{"label": "n", "serial": "1", "addr": "127.0.1.1"}]}
    assert clusterm.post("/monitor/event", {"monitor_event": gone}).is_success

    told = clusterm.get("/info/node/n-1/events")["items"]
    assert [(e["event"], e["cause"], e["by"], e["job"], e["changes"]) for e in told] == [
        ("discovered", "monitor", None, None, {"state": ["Unknown", "Discovered"], "address": [None, "127.0.1.1"]}),
        ("commissioning", "job", "127.0.0.1", 1, {"status": ["Unallocated", "Provisioning"]}),
        ("commissioned", "job", "127.0.0.1", 1, {"status": ["Provisioning", "Allocated"]}),
        ("updating", "job", "127.0.0.1", 2, {"status": ["Allocated", "Maintenance"]}),
        ("updated", "job", "127.0.0.1", 2, {"status": ["Maintenance", "Unallocated"]}),
        ("disappeared", "monitor", None, None, STATE),
    ]
    assert clusterm.get("/info/node/n-1")["events"] == told
    shown = [event["event"] for event in clusterm.get("/info/jobs/timeline")["items"]]
    assert shown == ["discovered", "commissioned", "updated", "disappeared"], "beginnings are left out"
    table = clusterm.clusterctl("node", "events", "n-1").stdout.splitlines()
    assert table[0].split() == ["TIME", "EVENT", "CHANGE", "JOB", "BY", "REASON"]
    assert " ".join(table[2].split()[1:]) == "n-1 commissioning status Unallocated → Provisioning 1 127.0.0.1"
