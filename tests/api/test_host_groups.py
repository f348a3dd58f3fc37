"""Host groups that a site names itself: in the rules, in jobs, and changed while the service runs."""

from support.programs import SCRIPTED
from support.service import Clusterm


def test_a_site_with_groups_of_its_own(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.config["ansible"]["host_groups"] = {"compute": "worker", "control": "master"}
    clusterm = new_clusterm.start()
    clusterm.add_nodes("n-1", "n-2")
    assert clusterm.get("/info/node/n-1")["configuration_state"]["host_group"] == "control"
    refused = clusterm.post("/commission/nodes", {"nodes": ["n-1"], "host_group": "service-master"})
    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        '"service-master" is no host group. Host groups: compute, control',
    )
    named = {"name": "discovered", "nodes": [{"label": "compute", "serial": "x", "addr": "127.0.1.9"}]}
    assert clusterm.post("/monitor/event", {"monitor_event": named}).is_success, "compute-x is no group"

    clusterm.run("commission", ["n-1"], host_group="control")
    job = clusterm.run("commission", ["n-2"], host_group="compute")
    assert '"children": {"compute": {"hosts": {"n-2"' in job["logs"][0]

    changed = clusterm.post("/config", {"config": {"ansible": {"host_groups": {"brain": "master", "limb": "worker"}}}})
    assert changed.json()["ansible"]["host_groups"] == {"brain": "master", "limb": "worker"}
    update = clusterm.post("/update/nodes", {"nodes": ["n-1"]})
    assert (update.status_code, "[n-1:control]" in update.json()["detail"]) == (409, True)
    clusterm.restart()
    assert clusterm.run("update", ["n-1"], host_group="brain")["status"] == "Complete"
    refused = clusterm.post("/config", {"config": {"ansible": {"host_groups": {"limb": "worker"}}}})
    assert (refused.status_code, "of masters" in refused.json()["detail"]) == (400, True)
