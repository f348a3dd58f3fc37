"""Responses of the service, and how clusterctl prints them."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from clusterctl.output.output import Document, Format, Stream, show
from clusterm.schemas import Event, Failure, Job, LogLine, Page, Recap

T = TypeVar("T")
NOW = datetime(2026, 11, 22, 7, 31, 2, 5, UTC)


def wire(model: Any) -> Any:
    return model.model_dump(mode="json")


JOB = Job.model_validate(
    {
        "id": 7,
        "action": "commission",
        "desc": "commission node1-a, node2-b as service-master",
        "task": "cleanup",
        "status": "Errored",
        "error": "configure failed on node2-b",
        "nodes": ["node1-a", "node2-b"],
        "host_group": "service-master",
        "extra_vars": {"version": "1.2"},
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": NOW + timedelta(minutes=62, seconds=5),
        "requested_by": "127.0.0.1",
        "lines": 2,
        "outcomes": {"node1-a": "passed", "node2-b": "failed", "node3-c": "not reached"},
        "recap": {"node1-a": Recap(ok=3, changed=2), "node2-b": Recap(ok=2, failed=1)},
        "failures": [Failure(node="node2-b", step="configure", play="all", task="format", message="no\ndisk", line=2)],
        "logs": ["PLAY [all] [bold]***[/bold]", "\x1b[0;31mfatal\x1b[0m: [node2-b]  "],
    }
)


FOREIGN = {"items": [{"id": 1, "neu": "é \ud800"}, {"id": 2}], "next": None, "zzz": {"b": 1.5, "a": [True]}}
"""A response of a shape that clusterctl does not know."""


def event(number: int, what: str, result: str | None = None, **more: Any) -> Event:
    values = {"node": "node1-a", "job": None, "detail": None} | more
    return Event.model_validate({"id": number, "at": NOW, "event": what, "result": result} | values)


def log_line(seq: int, text: str, *, partial: bool = False) -> Any:
    return wire(LogLine(seq=seq, at=NOW, text=text, partial=partial))


def printed(part: Document | Stream, output: Format = Format.TABLE) -> str:
    out = io.StringIO()
    show(part, output, out)
    return out.getvalue()


def last_page(kind: type[T], items: list[T]) -> Page[T]:
    """Return a page after which there is none."""
    return Page[kind](items=items, next=None)  # type: ignore[valid-type]
