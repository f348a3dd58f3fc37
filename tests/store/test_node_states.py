"""The statuses and states of nodes over time are those that the events record."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.rows import BEGAN, add_events, add_node_row

from clusterm.enums import Cause, EventName, Result, State, Status
from clusterm.store import events, node_states
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

S, T = list(Status).index, list(State).index
UNALLOCATED, PROVISIONING = S(Status.UNALLOCATED), S(Status.PROVISIONING)
HERE, GONE = T(State.DISCOVERED), T(State.DISAPPEARED)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'clusterm.db'}")) as store:
        migrate(store)
        yield store


def at(store: Store, minutes: float, event: EventName, changes: dict[str, Any], **more: Any) -> None:
    new = events.new("node1-a", event, cause=Cause.JOB, changes=changes, **more)
    new.at = BEGAN + timedelta(minutes=minutes)
    add_events(store, new)


def read(store: Store, since: datetime, until: datetime, text: str = "") -> list[list[list[int]]]:
    with store.read() as session:
        return [node.segments for node in node_states.read(session, since, until, text).nodes]


def test_segments(store: Store) -> None:
    add_node_row(store, "node1-a")
    add_node_row(store, "other-b")
    at(store, 0, EventName.DISCOVERED, {"address": [None, "127.0.1.1"], "state": ["Unknown", "Discovered"]})
    at(store, 1, EventName.CHANGED, {"host_group": ["", "x"]})
    at(store, 10, EventName.COMMISSIONING, {"status": ["Unallocated", "Provisioning"]}, job_id=7)
    at(store, 20, EventName.COMMISSIONED, {"status": ["Provisioning", "Unallocated"]}, job_id=7, result=Result.FAIL)
    at(store, 30, EventName.DISAPPEARED, {"state": ["Discovered", "Disappeared"]})
    at(store, 40, EventName.DISCOVERED, {"state": ["Disappeared", "Discovered"]})
    whole = [
        [60, UNALLOCATED, HERE, 0, 0],
        [660, PROVISIONING, HERE, 7, 0],
        [1260, UNALLOCATED, HERE, 7, 1],
        [1860, UNALLOCATED, GONE, 0, 0],
        [2460, UNALLOCATED, HERE, 0, 0],
    ]
    minute = timedelta(minutes=1)
    found, other = read(store, BEGAN - minute, BEGAN + 60 * minute)
    assert found == [[0, -1, -1, 0, 0], *whole]
    assert other == [[0, UNALLOCATED, HERE, 0, 0]]
    part = [[0, PROVISIONING, HERE, 0, 0], [300, UNALLOCATED, HERE, 7, 1]]
    assert read(store, BEGAN + 15 * minute, BEGAN + 25 * minute, "NODE1") == [part]
    assert read(store, BEGAN, BEGAN + minute, "nothing") == []
