"""Events: the timeline of the cluster and the history of each node.

Both are bounded views of one table. In the timeline each kind of event has a bound of its own. An event that is
outside both views is deleted. A flapping node or network causes many reachability events (a node was discovered or
disappeared). So that they do not displace all other events of nodes, they get half of each view, or the space that
the other events leave, and repeated ones are merged into one event.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, func, insert, not_, or_, union_all
from sqlalchemy import delete as delete_rows
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from clusterm import schemas
from clusterm.enums import BEGINNINGS, Cause, EventKind, EventName, Result
from clusterm.store import tables

REPEATED_WITHIN: Final = timedelta(hours=1)
"""A reachability event replaces an equal one within this time, if the node had no other kind of event in between."""

_MAX_COMPARED: Final = 8
"""How many of the latest events of a node are compared with a new one."""

_REACHABILITY: Final = frozenset({EventName.DISCOVERED, EventName.DISAPPEARED})

_MAX_VALUE: Final = 60
"""Characters of a value in the description of a change."""

_OF_NODES: Final = col(tables.Event.kind) == EventKind.NODES
_IN_TIMELINE: Final = and_(_OF_NODES, col(tables.Event.event).not_in(BEGINNINGS))


class _Reach(NamedTuple):
    """The oldest ids in a view."""

    oldest: int
    oldest_reachability: int

    def shows(self) -> ColumnElement[bool]:
        """Return the condition that an event is in the view."""
        event = tables.Event
        return and_(
            col(event.id) >= self.oldest,
            or_(not_(col(event.is_reachability)), col(event.id) >= self.oldest_reachability),
        )


def new(
    node: str | None,
    event: EventName,
    *,
    cause: Cause,
    changes: dict[str, Any] | None = None,
    detail: str | None = None,
    result: Result | None = None,
    job_id: int | None = None,
    by: str | None = None,
    action: str | None = None,
) -> tables.Event:
    """Return an event that happens now, to be added.

    Args:
        node: the name of the node; None for a job or the service.
        event: what happened.
        cause: what made it happen.
        changes: what it changed: each member with its old and its new value.
        detail: more about it, in a few words.
        result: how the job ended for the node.
        job_id: the job that caused it.
        by: the name of the requester.
        action: the action of that job, if it is one of the site.
    """
    return tables.Event(
        at=datetime.now(UTC),
        node=node,
        event=event,
        result=result,
        job_id=job_id,
        detail=detail,
        cause=cause,
        by=by,
        changes=changes or {},
        action=action,
    )


def describe_changes(changes: Mapping[str, Sequence[Any]]) -> str:
    """Return changes in words: each member with its old and its new value."""

    def write(value: Any) -> str:
        text = "none" if value is None else str(value) or '""'
        return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"

    return ", ".join(
        f"{name.removeprefix('vars.')} {write(before)} → {write(after)}" for name, (before, after) in changes.items()
    )


def append(session: Session, events: Iterable[tables.Event]) -> None:
    """Append events, in order. Pruning deletes old ones later."""
    waiting: list[tables.Event] = []
    nodes: set[str | None] = set()
    for event in events:
        event.kind = event.event.kind
        event.is_reachability = event.event in _REACHABILITY and event.result is None
        if event.is_reachability and not _is_first(event):
            if event.node in nodes:
                _insert(session, waiting)
                waiting.clear()
            _replace_repeated(session, event)
        waiting.append(event)
        nodes.add(event.node)
    _insert(session, waiting)


def surplus(session: Session, bounds: Mapping[EventKind, int], node_events: int) -> list[int]:
    """Return the ids of the events that are in neither view.

    Some more than the views need are kept, since reachability events share a history with the others.

    Args:
        session: any transaction.
        bounds: how many events of each kind the timeline contains.
        node_events: how many events the history of a node contains.
    """
    event = tables.Event
    found: list[int] = []
    for kind, bound in bounds.items():
        of_kind = col(event.kind) == kind
        if not _are_more_than(session, bound, of_kind):
            continue
        if kind is not EventKind.NODES:
            found += session.exec(select(event.id).where(of_kind, not_(_reach(session, bound, of_kind).shows())))
            continue
        of_class = func.row_number().over(
            partition_by=[col(event.node), col(event.is_reachability)], order_by=col(event.id).desc()
        )
        placed = select(event.id, of_class.label("place")).where(_OF_NODES).subquery()
        shown = and_(_IN_TIMELINE, _reach(session, bound, _IN_TIMELINE).shows())
        outside = or_(col(event.node).is_(None), placed.c.place > node_events)
        found += session.exec(select(event.id).join(placed, placed.c.id == event.id).where(outside, not_(shown)))
    return sorted(found)


def delete(session: Session, ids: Sequence[int]) -> None:
    """Delete events."""
    session.execute(delete_rows(tables.Event).where(col(tables.Event.id).in_(ids)))


def last_id(session: Session) -> int:
    """Return the id of the latest event; 0 if there is none."""
    return session.exec(select(func.max(tables.Event.id))).one() or 0


def newest(session: Session) -> schemas.Changes:
    """Return the id of the latest event, and the job of the latest event of a job."""
    event = tables.Event
    of_jobs = select(event.job_id).where(col(event.kind) == EventKind.JOBS).order_by(col(event.id).desc()).limit(1)
    return schemas.Changes(event=last_id(session), job=session.exec(of_jobs).first())


@dataclass(frozen=True)
class TimelineFilter:
    """Which events of the timeline are meant; None for any."""

    kinds: Collection[EventKind] = (EventKind.NODES,)
    nodes: Collection[str] | None = None
    job: int | None = None
    by: str | None = None
    """The name of the requester."""
    failed: bool = False
    """Only failures."""
    since: datetime | None = None
    until: datetime | None = None
    """Before this time."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions besides the kinds."""
        event = tables.Event
        found: list[ColumnElement[bool]] = []
        if self.nodes is not None:
            found.append(col(event.node).in_(self.nodes))
        if self.job is not None:
            found.append(col(event.job_id) == self.job)
        if self.by is not None:
            found.append(col(event.by) == self.by)
        if self.failed:
            found.append(col(event.result) == Result.FAIL)
        if self.since is not None:
            found.append(col(event.at) >= self.since)
        if self.until is not None:
            found.append(col(event.at) < self.until)
        return found


def timeline(
    session: Session,
    bounds: Mapping[EventKind, int],
    wanted: TimelineFilter,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
) -> list[schemas.Event]:
    """Return the latest events of the timeline or, with `after`, the first ones after an event; oldest first.

    Args:
        session: any transaction.
        bounds: how many events of each kind the timeline contains.
        wanted: which events.
        limit: the maximum number of events.
        before: only events with a smaller id.
        after: only events with a greater id.
    """
    conditions = wanted.conditions()
    is_latest = not conditions and before is None and after is None
    kinds = []
    for kind in wanted.kinds:
        of_kind = _IN_TIMELINE if kind is EventKind.NODES else col(tables.Event.kind) == kind
        if is_latest and limit <= bounds[kind] // 2:  # all of them are in the view
            kinds.append(of_kind)
        else:
            kinds.append(and_(of_kind, _reach(session, bounds[kind], of_kind).shows()))
    query = select(tables.Event).where(or_(*kinds), *conditions).limit(limit)
    if before is not None:
        query = query.where(col(tables.Event.id) < before)
    return _in_order(session, query, after)


def of_node(
    session: Session,
    node: str,
    bound: int,
    *,
    limit: int,
    before: int | None = None,
    since: datetime | None = None,
    after: int | None = None,
) -> list[schemas.Event]:
    """Return the latest events of a node or, with `after`, the first ones after an event; oldest first.

    Args:
        session: any transaction.
        node: the node's name.
        bound: how many events the history contains.
        limit: the maximum number of events.
        before: only events with a smaller id.
        since: only events at or after this time.
        after: only events with a greater id.
    """
    mine = and_(_OF_NODES, col(tables.Event.node) == node)
    shown = _reach(session, bound, mine).shows()
    query = select(tables.Event).where(mine, shown).limit(limit)
    if before is not None:
        query = query.where(col(tables.Event.id) < before)
    if since is not None:
        query = query.where(tables.Event.at >= since)
    return _in_order(session, query, after)


def latest(session: Session, names: Collection[EventName]) -> tables.Event | None:
    """Return the latest event of the service with one of these names."""
    event = tables.Event
    query = select(event).where(col(event.kind) == EventKind.ADMIN, col(event.event).in_(names))
    return session.exec(query.order_by(col(event.id).desc()).limit(1)).first()


def to_wire(event: tables.Event) -> schemas.Event:
    """Return an event as it goes over the wire."""
    return schemas.Event.model_construct(
        id=event.id,
        at=event.at,
        node=event.node,
        event=event.event,
        kind=event.kind,
        result=event.result,
        job=event.job_id,
        detail=event.detail,
        cause=event.cause,
        by=event.by,
        changes=event.changes,
        times=event.times,
        since=event.since,
        action=event.action,
    )


def _insert(session: Session, events: Sequence[tables.Event]) -> None:
    if events:
        rows: list[dict[str, Any]] = [event.model_dump(exclude={"id"}) for event in events]
        session.execute(insert(tables.Event), rows)  # executes once per row, so ids follow the order


def _is_first(event: tables.Event) -> bool:
    """Return whether an event is the first one of its node, so that it cannot repeat another one."""
    return event.changes.get("address", [""])[0] is None


def _replace_repeated(session: Session, event: tables.Event) -> None:
    """Replace an equal event since the node's last event of another kind, if there is one, and count it."""
    row = tables.Event
    before = session.exec(
        select(row.id, row.at, row.is_reachability, row.event, row.changes, row.times, row.since)  # type: ignore[call-overload]
        .where(row.node == event.node)
        .order_by(col(row.id).desc())
        .limit(_MAX_COMPARED)
    )
    for number, at, is_reachability, name, changes, times, since in before.all():
        if not is_reachability or event.at - at > REPEATED_WITHIN:
            return
        if (name, changes) == (event.event, event.changes):
            event.times, event.since = times + 1, since or at
            session.execute(delete_rows(row).where(col(row.id) == number))
            return


def _reach(session: Session, count: int, *conditions: ColumnElement[bool]) -> _Reach:
    """Return the oldest ids in a view of `count` events.

    Reachability events get half of the view, and of the other half the space that the other events leave.
    """
    reachability, others = (
        (*conditions, col(tables.Event.is_reachability)),
        (*conditions, not_(col(tables.Event.is_reachability))),
    )
    of_others = session.exec(select(func.count()).select_from(_latest(count // 2, *others))).one()
    ids = union_all(
        select(_latest(count, *others).c.id),
        select(_latest(count - of_others, *reachability).c.id),
    ).subquery()
    oldest = session.exec(select(ids.c.id).order_by(ids.c.id.desc()).offset(count - 1).limit(1)).first()
    oldest_reachability = session.exec(select(func.min(_latest(count - of_others, *reachability).c.id))).one()
    return _Reach(oldest or 0, oldest_reachability or 0)


def _latest(count: int, *conditions: SQLColumnExpression[bool]) -> Any:
    """Return a subquery of the ids of the latest `count` events."""
    event = tables.Event
    return select(event.id).where(*conditions).order_by(col(event.id).desc()).limit(count).subquery()


def _in_order(session: Session, query: SelectOfScalar[tables.Event], after: int | None) -> list[schemas.Event]:
    """Return the latest events of a limited query, or the first ones after an event; oldest first."""
    if after is not None:
        query = query.where(col(tables.Event.id) > after).order_by(col(tables.Event.id))
        return [to_wire(event) for event in session.exec(query)]
    return [to_wire(event) for event in reversed(session.exec(query.order_by(col(tables.Event.id).desc())).all())]


def _are_more_than(session: Session, count: int, *conditions: ColumnElement[bool]) -> bool:
    query = select(tables.Event.id).where(*conditions).order_by(col(tables.Event.id).desc())
    return session.exec(query.offset(count).limit(1)).first() is not None
