"""The timeline: its kinds of events, their bounds, and its filters."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.rows import add_events, read_timeline

from clusterm.enums import Cause, EventKind, EventName, Result
from clusterm.store import events, tables
from clusterm.store.engine import Store

NOW = datetime(2026, 11, 22, 7, 31, 2, tzinfo=UTC)
ALL = frozenset(EventKind)


def event(name: EventName, **columns: Any) -> tables.Event:
    return tables.Event(**{"at": NOW, "node": None, "event": name, "cause": Cause.USER, **columns})


def shown(store: Store, bound: int = 100, **terms: Any) -> list[str]:
    with store.read() as session:
        return [str(each) for each in read_timeline(session, bound, **terms)]


def test_every_event_has_a_kind_and_a_text() -> None:
    kinds = {kind: [name.value for name in EventName if name.kind is kind] for kind in EventKind}
    assert kinds[EventKind.JOBS] == ["queued", "started", "stopping", "ended", "refused"]
    assert kinds[EventKind.ADMIN][:3] == ["service_started", "service_stopped", "drained"]
    assert "commissioned" in kinds[EventKind.NODES]


def test_no_kind_displaces_another(store: Store) -> None:
    add_events(store, event(EventName.STARTED, job_id=1), event(EventName.DRAINED, by="ann"))
    nodes = [event(EventName.CHANGED, node="n-1", detail=str(number)) for number in range(9)]
    add_events(store, *nodes, timeline=3, node_events=3)
    assert shown(store, 3, kinds=ALL) == ["job 1 started", "drained", *["n-1 changed"] * 3]
    ended = [event(EventName.ENDED, job_id=1, result=Result.FAIL) for _ in range(9)]
    add_events(store, *ended, timeline=3, node_events=3)
    assert shown(store, kinds=ALL) == ["drained", *["n-1 changed"] * 3, *["job 1 ended; result: fail"] * 3]
    with store.read() as session:
        assert [each.detail for each in events.of_node(session, "n-1", 3, limit=9)] == ["6", "7", "8"]


def test_a_smaller_bound_counts_before_the_next_pruning(store: Store) -> None:
    with store.write() as session:
        events.append(session, [event(EventName.QUEUED, job_id=number) for number in range(1, 6)])
    assert shown(store, 2, kinds={EventKind.JOBS}) == ["job 4 queued", "job 5 queued"]


def test_events_without_a_node_are_pruned_by_their_own_kind(store: Store) -> None:
    addresses = [event(EventName.DISCOVERED, result=Result.PASS, detail=str(number)) for number in range(5)]
    add_events(store, event(EventName.STARTED, job_id=1), *addresses, timeline=2, node_events=2)
    assert shown(store, kinds=ALL) == ["job 1 started", *["discovered; result: pass"] * 2]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, [4, 5]),
        ({"kinds": {EventKind.JOBS}}, [2, 3]),
        ({"kinds": {EventKind.JOBS, EventKind.ADMIN}}, [1, 2, 3]),
        ({"kinds": ALL, "job": 7}, [2, 3, 4]),
        ({"kinds": ALL, "by": "ann"}, [1, 2]),
        ({"kinds": ALL, "failed": True}, [3, 4]),
        ({"kinds": ALL, "nodes": ["n-1"]}, [4]),
        ({"kinds": ALL, "since": NOW + timedelta(minutes=2)}, [3, 4, 5]),
        ({"kinds": ALL, "until": NOW + timedelta(minutes=2)}, [1, 2]),
        ({"kinds": ALL, "before": 4, "limit": 2}, [2, 3]),
        ({"kinds": ALL, "after": 2, "limit": 2}, [3, 4]),
    ],
)
def test_filters(store: Store, terms: dict[str, Any], expected: list[int]) -> None:
    happened = [
        event(EventName.DRAINED, by="ann"),
        event(EventName.STARTED, job_id=7, by="ann"),
        event(EventName.ENDED, job_id=7, by="ben", result=Result.FAIL),
        event(EventName.UPDATED, node="n-1", job_id=7, by="ben", result=Result.FAIL),
        event(EventName.CHANGED, node="n-2"),
    ]
    for minutes, each in enumerate(happened):
        each.at = NOW + timedelta(minutes=minutes)
    with store.write() as session:
        events.append(session, happened)
        assert [each.id for each in read_timeline(session, **terms)] == expected
