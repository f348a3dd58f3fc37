"""How clusterctl prints nodes."""

from support.factories import event, printed, wire

from clusterctl.output.output import Document
from clusterctl.views import nodes as node_views
from clusterm.schemas import Node


def test_nodes_are_a_row_each_with_their_last_event() -> None:
    monitoring = {"label": "node1", "serial_number": "a", "management_address": "::1"}
    inventory = dict.fromkeys(("status", "prev_status"), "Allocated") | dict.fromkeys(
        ("state", "prev_state"), "Discovered"
    )
    configuration = {"inventory_name": "node1-a", "host_group": "service-master", "ssh_address": "::1"}
    node = Node.model_validate(
        {
            "monitoring_state": monitoring,
            "inventory_state": {"name": "node1-a"} | inventory,
            "configuration_state": configuration | {"inventory_vars": {"node_name": "node1-a"}},
            "events": [event(1, "discovered"), event(2, "updated", "pass", job=1)],
        }
    )

    assert printed(Document({"node1-a": wire(node)}, node_views.nodes)).splitlines() == [
        "NAME     ADDRESS  HOST GROUP      STATUS     STATE       LAST EVENT",
        "node1-a  ::1      service-master  Allocated  Discovered  2026-11-22T07:31:02Z updated; result: pass",
    ]
    assert printed(Document(wire(node), node_views.node)).splitlines() == [
        "Node        node1-a",
        "Address     ::1",
        "Host group  service-master",
        "Status      Allocated",
        "State       Discovered",
        "Host vars   node_name=node1-a",
        "",
        "TIME                  EVENT                          CHANGE  JOB  BY  REASON",
        "2026-11-22T07:31:02Z  node1-a discovered",
        "2026-11-22T07:31:02Z  node1-a updated; result: pass          1",
    ]
