"""The statuses and states of nodes over time, from the changes that events record."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlmodel import Session, col

from clusterm import schemas
from clusterm.enums import EventKind, Result, State, Status
from clusterm.store import nodes, tables

_STATUSES: Final = list(Status)
_STATES: Final = list(State)
_NOT_THERE: Final = -1


class _Past:
    """A node on the way back from now: its status and state at a time, and what happened after that."""

    def __init__(self, node: nodes.Candidate) -> None:
        self.node = node
        self.status, self.state = _STATUSES.index(node.status), _STATES.index(node.state)
        self.latest_first: list[list[int]] = []

    def undo(self, changes: dict[str, Any]) -> None:
        """Go back to before an event."""
        if "status" in changes:
            self.status = _STATUSES.index(changes["status"][0])
        if "state" in changes:
            self.state = _STATES.index(changes["state"][0])
        if changes.get("address", [""])[0] is None:  # it was discovered first
            self.status = self.state = _NOT_THERE


def read(session: Session, since: datetime, until: datetime, text: str = "") -> schemas.NodeStates:
    """Return the statuses and states of nodes between two times.

    They are found backwards from now, so that events which retention has deleted make the past less detailed, but not
    wrong at its end.

    Args:
        session: a reading transaction.
        since: the earlier time.
        until: the later time.
        text: part of the names, addresses or host groups of the nodes; empty for all.
    """
    event = tables.Event
    found = {node.name: _Past(node) for node in nodes.candidates(session) if node.contains(text)}
    query = (
        select(col(event.node), col(event.at), col(event.changes), col(event.job_id), col(event.result))
        .where(col(event.kind) == EventKind.NODES, col(event.at) >= since)
        .order_by(col(event.id).desc())
    )
    for name, at, changes, job, result in session.connection().execute(query):
        past = found.get(name)
        if past is None:
            continue
        failed = result is Result.FAIL
        if at < until and (failed or not changes.keys().isdisjoint(("status", "state"))):
            second = int((at - since).total_seconds())
            past.latest_first.append([second, past.status, past.state, job or 0, int(failed)])
        past.undo(changes)
    return schemas.NodeStates.model_construct(
        since=since,
        until=until,
        statuses=_STATUSES,
        states=_STATES,
        nodes=[
            schemas.NodeHistory.model_construct(
                name=name,
                host_group=past.node.host_group,
                segments=[[0, past.status, past.state, 0, 0], *reversed(past.latest_first)],
            )
            for name, past in found.items()
        ],
    )
