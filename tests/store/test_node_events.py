"""What a node's history and the timeline keep: every change with its cause, and no flood of news."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import delete
from support.rows import add_events
from support.rows import read_timeline as timeline_of

from clusterm.enums import Cause, EventName, Result
from clusterm.monitoring.reports import NodeReport, report, report_each
from clusterm.schemas import Event, MonitoredNode, MonitorEvent
from clusterm.settings import Settings
from clusterm.store import events, tables
from clusterm.store.engine import Store

NOW = datetime(2026, 11, 22, 7, 31, 2, tzinfo=UTC)
STATE = {"state": ["Discovered", "Disappeared"]}


def news(node: str = "n-1", at: datetime = NOW, **columns: Any) -> tables.Event:
    values = {"event": EventName.DISAPPEARED, "result": None, "job_id": None, "detail": None, "changes": STATE}
    return tables.Event(at=at, node=node, cause=Cause.MONITOR, **(values | columns))


def job_end(node: str | None = "n-1", detail: str | None = None) -> tables.Event:
    passed = Result.PASS
    return tables.Event(
        at=NOW, node=node, event=EventName.UPDATED, result=passed, job_id=1, detail=detail, cause=Cause.JOB
    )


def add(store: Store, *new: tables.Event, timeline: int = 10, node_events: int = 10) -> None:
    add_events(store, *new, timeline=timeline, node_events=node_events)


def timeline(store: Store, bound: int = 10, limit: int = 10**6) -> list[Event]:
    with store.read() as session:
        return timeline_of(session, bound, limit=limit)


def history(store: Store, node: str = "n-1", bound: int = 10) -> list[Event]:
    with store.read() as session:
        return events.of_node(session, node, bound, limit=10**6)


@pytest.mark.sqlite_only
def test_a_node_that_flaps_ten_thousand_times_hides_nothing(store: Store) -> None:
    settings = Settings.model_validate({"retention": {"timeline": 20, "node_events": 20}})
    node = {"label": "n", "serial": "1", "addr": "10.0.0.1"}
    report(store, settings, MonitorEvent(name="discovered", nodes=[node]))
    add(store, job_end(detail="before"), timeline=20, node_events=20)
    gone, back = NodeReport("n-1", None), NodeReport("n-1", MonitoredNode.model_validate(node))
    for _ in range(100):
        assert report_each(store, settings, [gone, back] * 50) == []

    for view in (timeline(store, 20), history(store, bound=20)):
        assert [(e.event, e.times) for e in view] == [
            ("discovered", 1),
            ("updated", 1),
            ("disappeared", 5000),
            ("discovered", 5000),
        ]
        assert view[2].since
        assert view[2].at > view[2].since > view[1].at
        assert str(view[2]).startswith("n-1 disappeared, 5000 times since 20")


def test_the_same_news_are_counted_until_something_else_happens(store: Store) -> None:
    def at(minutes: float) -> datetime:
        return NOW + timedelta(minutes=minutes)

    moved = {"address": ["10.0.0.1", "10.0.0.2"]}
    add(store, news(at=at(0)), news(at=at(59)), news(at=at(118)))
    add(store, news("n-2", at(118)))
    add(store, news(at=at(179), changes=moved))
    add(store, job_end())
    add(store, news(at=at(180)))
    add(store, news(at=at(180), detail="was at 10.0.0.2"))
    add(store, news(at=at(300)))

    assert [(e.node, e.at, e.times, e.since) for e in timeline(store) if e.cause is Cause.MONITOR] == [
        ("n-1", at(118), 3, at(0)),
        ("n-2", at(118), 1, None),
        ("n-1", at(179), 1, None),  # says something else
        ("n-1", at(180), 2, at(180)),  # a job came between
        ("n-1", at(300), 1, None),  # too late to be the same story
    ]


_one = st.tuples(st.sampled_from(["n-1", "n-2", None]), st.booleans())


@given(st.lists(st.lists(_one, max_size=4), max_size=12), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_news_have_the_room_that_others_leave_or_half_of_it(
    store: Store, happenings: list[list[tuple[str | None, bool]]], bound: int, node_bound: int
) -> None:
    def expect(of: list[tuple[str | None, bool, str]], count: int) -> list[str]:
        others = [one for one in of if not one[1]][-count:]
        room = count - min(len(others), count // 2)
        kept = {*others, *[one for one in of if one[1]][-room:]}
        return [one[2] for one in of if one in kept][-count:]

    with store.write() as session:
        session.exec(delete(tables.Event))
    told: list[tuple[str | None, bool, str]] = []
    for batch in happenings:
        new = []
        for node, is_news in batch:
            text = str(len(told))
            told.append((node, is_news, text))
            new.append(
                news(str(node), changes={"address": [text, ""]}, detail=text) if is_news else job_end(node, detail=text)
            )
            new[-1].node = node
        add(store, *new, timeline=bound, node_events=node_bound)

    assert [one.detail for one in timeline(store, bound)] == expect(told, bound)
    for limit in range(1, bound):
        assert [one.detail for one in timeline(store, bound, limit)] == expect(told, bound)[-limit:]
    for node in ("n-1", "n-2"):
        of_node = [one for one in told if one[0] == node]
        assert [one.detail for one in history(store, node, node_bound)] == expect(of_node, node_bound)
