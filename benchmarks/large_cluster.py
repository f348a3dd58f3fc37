"""Fill a store with the nodes of a large cluster, in the form that the service stores."""

from datetime import UTC, datetime
from typing import Final

from service import Clusterm

from clusterm.enums import EventName, Result, State, Status
from clusterm.store import tables
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

NODES: Final = 10_000
IN_RACK: Final = 1000
EVENTS: Final = 10
"""Number of events per node."""


def fill(clusterm: Clusterm) -> None:
    """Add `NODES` nodes, `IN_RACK` per rack, to a clusterm that is not started yet."""
    clusterm.state_dir.mkdir()
    store = Store(f"sqlite:///{clusterm.state_dir / 'clusterm.db'}")
    try:
        migrate(store)
        with store.write() as session:
            session.add_all(map(_node, range(NODES)))
            for at in range(EVENTS):
                session.add_all(_event(number, datetime(2026, 1, 1, at, tzinfo=UTC)) for number in range(NODES))
                session.flush()
    finally:
        store.close()


def name(number: int) -> str:
    """Return the name of a node, counted from 0."""
    return f"rack{number // IN_RACK}-node{number:05}-bench"


def _node(number: int) -> tables.Node:
    label, _, serial = name(number).rpartition("-")
    return tables.Node(
        name=name(number),
        label=label,
        serial=serial,
        address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        status=Status.UNALLOCATED,
        prev_status=Status.UNALLOCATED,
        state=State.DISCOVERED,
        prev_state=State.UNKNOWN,
        host_group="service-master",
    )


def _event(number: int, at: datetime) -> tables.Event:
    return tables.Event(
        at=at, node=name(number), event=EventName.UPDATED, result=Result.PASS, job_id=number, detail=None
    )
