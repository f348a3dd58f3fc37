"""Events: the timeline of the cluster and the history of each node.

Both are bounded views of one table. An event is deleted when it is outside both.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, delete
from sqlmodel import Session, col, select

from clusterm import schemas
from clusterm.store import tables


def add(session: Session, events: Iterable[tables.Event], *, timeline: int, node_events: int) -> None:
    """Append events and delete what has fallen out of both views.

    Args:
        session: a writing transaction.
        events: the new events, in order.
        timeline: how many events the timeline reaches back.
        node_events: how many events of each node are kept.
    """
    nodes = set()
    for event in events:
        session.add(event)
        session.flush()  # one by one, so that their ids follow their order
        nodes.add(event.node)
    oldest = _nth_latest(session, timeline)
    if oldest is None:
        return
    for node in nodes:
        bound = oldest
        if node is not None:
            oldest_of_node = _nth_latest(session, node_events, col(tables.Event.node) == node)
            if oldest_of_node is None:
                continue
            bound = min(oldest, oldest_of_node)
        session.execute(delete(tables.Event).where(col(tables.Event.node) == node, col(tables.Event.id) < bound))


def timeline(
    session: Session, bound: int, *, limit: int, node: str | None = None, since: datetime | None = None
) -> list[schemas.Event]:
    """Return the latest events of the timeline, oldest first.

    Args:
        session: any transaction.
        bound: how many events the timeline reaches back.
        limit: the most to return.
        node: only this node's.
        since: only those at or after this time.
    """
    query = select(tables.Event).order_by(col(tables.Event.id).desc()).limit(limit)
    oldest = _nth_latest(session, bound)
    if oldest is not None:
        query = query.where(col(tables.Event.id) >= oldest)
    if node is not None:
        query = query.where(tables.Event.node == node)
    if since is not None:
        query = query.where(tables.Event.at >= since)
    return [to_wire(event) for event in reversed(session.exec(query).all())]


def of_node(session: Session, node: str, bound: int, *, limit: int, before: int | None = None) -> list[schemas.Event]:
    """Return a node's latest events, newest last.

    Args:
        session: any transaction.
        node: the node's name.
        bound: how many events its history reaches back.
        limit: the most to return.
        before: only those with a smaller id.
    """
    query = select(tables.Event).where(tables.Event.node == node).order_by(col(tables.Event.id).desc()).limit(limit)
    oldest = _nth_latest(session, bound, col(tables.Event.node) == node)
    if oldest is not None:
        query = query.where(col(tables.Event.id) >= oldest)
    if before is not None:
        query = query.where(col(tables.Event.id) < before)
    return [to_wire(event) for event in reversed(session.exec(query).all())]


def to_wire(event: tables.Event) -> schemas.Event:
    """Turn a row into what goes over the wire."""
    return schemas.Event.model_construct(
        id=event.id,
        at=event.at,
        node=event.node,
        event=event.event,
        result=event.result,
        job=event.job_id,
        detail=event.detail,
    )


def _nth_latest(session: Session, count: int, *conditions: ColumnElement[bool]) -> int | None:
    """Return the id of the oldest of the latest `count` events, or None if there are not more than that."""
    query = select(tables.Event.id).where(*conditions).order_by(col(tables.Event.id).desc())
    ids = session.exec(query.offset(count - 1).limit(2)).all()
    return ids[0] if len(ids) == 2 else None
