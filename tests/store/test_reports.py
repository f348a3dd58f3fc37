"""Taking in what monitors say of many nodes at once."""

from support.rows import read_timeline

from clusterm.errors import Conflict, NotFound
from clusterm.monitoring.reports import NodeReport, report, report_each
from clusterm.schemas import MonitoredNode, MonitorEvent
from clusterm.settings import Settings
from clusterm.store import nodes, tables
from clusterm.store.engine import Store

KEEP = Settings.model_validate({"retention": {"timeline": 5000, "node_events": 5000}})


def node(number: int, addr: str = "") -> MonitoredNode:
    return MonitoredNode(label=f"n{number}", serial="s", addr=addr or f"10.0.{number // 256}.{number % 256}")


def there(monitored: MonitoredNode) -> NodeReport:
    return NodeReport(monitored.name, monitored)


def timeline(store: Store) -> list[str]:
    with store.read() as session:
        return [f"{event.node} {event.event} {event.detail}" for event in read_timeline(session)]


def test_many_nodes_are_taken_in_at_once_and_in_their_order(store: Store) -> None:
    """As many as a query cannot name."""
    many = [node(number) for number in range(2500, 0, -1)]
    names = [each.name for each in many]
    assert report(store, KEEP, MonitorEvent(name="discovered", nodes=many)) == (names, [])
    assert timeline(store) == [f"{each.name} discovered at {each.addr}" for each in many]
    report(store, KEEP, MonitorEvent(name="disappeared", nodes=many))
    assert timeline(store)[2500:] == [f"{each.name} disappeared was at {each.addr}" for each in many]


def test_what_is_refused_takes_nothing_else_with_it(store: Store) -> None:
    thief, late = node(3, "10.0.0.1"), node(4)
    news = [there(node(1)), there(thief), NodeReport("nobody-s", None), there(node(2)), there(late)]
    refused = report_each(store, KEEP, news)
    assert [(each.name, type(reason)) for each, reason in refused] == [("n3-s", Conflict), ("nobody-s", NotFound)]
    with store.read() as session:
        assert [found.name for found in nodes.list_all(session)] == ["n1-s", "n2-s", "n4-s"]


def test_a_node_may_change_several_times_in_one_batch(store: Store) -> None:
    moved = node(1, "10.9.9.9")
    news = [
        there(node(1)),
        NodeReport("n1-s", None),
        there(node(1)),
        there(moved),
        there(moved),
        there(node(2, "10.0.0.1")),
    ]
    assert report_each(store, KEEP, news) == []
    assert timeline(store) == [
        "n1-s discovered at 10.0.0.1",
        "n1-s disappeared was at 10.0.0.1",
        "n1-s discovered at 10.0.0.1",
        "n1-s discovered at 10.9.9.9, was at 10.0.0.1",
        "n2-s discovered at 10.0.0.1",
    ]
    with store.read() as session:
        first = session.get(tables.Node, "n1-s")
        assert first is not None
        assert first.address == "10.9.9.9"
