"""What people see of the service's answers."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from clusterctl.client import Json, read
from clusterctl.rows import Rows
from clusterctl.show import View
from clusterm.schemas import Event, Failure, Globals, Job, LogLine, Node, Page, Recap
from clusterm.states import JobStatus, Result, State, Status

_NARROW: Final = {"TIME", "CREATED", "JOB", "ID", "STATUS", "LINE"}
"""Columns that are never wrapped, for what is in them is short."""

_STYLES: Final[dict[str, str]] = {
    JobStatus.COMPLETE: "green",
    JobStatus.ERRORED: "red",
    JobStatus.RUNNING: "yellow",
    JobStatus.CANCELLED: "yellow",
    Status.ALLOCATED: "green",
    Status.PROVISIONING: "yellow",
    Status.MAINTENANCE: "yellow",
    State.DISAPPEARED: "red",
    Result.PASS: "green",
    Result.FAIL: "red",
}


def nodes(data: Json) -> View:
    """One row for each node. Ten thousand of them are not read as models, which would take too long."""
    try:
        rows = [_node_row(node) for node in data.values()]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        for node in data.values():
            read(Node, node)  # says what is wrong with it
        raise
    if rows:
        yield Rows(("NAME", "ADDRESS", "HOST GROUP", "STATUS", "STATE", "LAST EVENT"), rows, _STYLES)


def node(data: Json) -> View:
    """A node and its latest events."""
    shown = read(Node, data)
    inventory, configuration = shown.inventory_state, shown.configuration_state
    yield _block(
        {
            "Node": inventory.name,
            "Address": shown.monitoring_state.management_address,
            "Host group": configuration.host_group,
            "Status": inventory.status,
            "State": inventory.state,
            "Host vars": ", ".join(f"{k}={_value(v)}" for k, v in configuration.inventory_vars.items()),
        }
    )
    if shown.events:
        yield "\n"
        yield _events(shown.events)


def events(data: Json) -> View:
    """One row for each event of the timeline or of a node."""
    yield from _if_rows(_events(read(Page[Event], data).items))


def jobs(data: Json) -> View:
    """One row for each job of the history."""
    table = _table("ID", "ACTION", "NODES", "STATUS", "CREATED", "DURATION", "ERROR")
    for job in read(Page[Job], data).items:
        table.add_row(
            _cell(job.id),
            _cell(_action(job)),
            _cell(", ".join(job.nodes)),
            _cell(job.status),
            _cell(_time(job.created_at)),
            _cell(_duration(job)),
            _cell(job.error),
        )
    yield from _if_rows(table)


def job_brief(data: Json) -> View:
    """The few facts that matter about a job that has just been asked for."""
    job = read(Job, data)
    table = _table("ID", "ACTION", "NODES", "STATUS")
    table.add_row(_cell(job.id), _cell(_action(job)), _cell(", ".join(job.nodes)), _cell(job.status))
    yield table


def job_heading(data: Json) -> View:
    """What a job is and how it stands."""
    job = read(Job, data)
    yield _block(
        {
            "Job": job.id,
            "Action": _action(job),
            "Nodes": ", ".join(job.nodes),
            "Host group": job.host_group,
            "Extra vars": json.dumps(job.extra_vars, ensure_ascii=False) if job.extra_vars else "",
            "Status": job.status,
            "Created": _time(job.created_at),
            "Duration": _duration(job),
            "Requested by": job.requested_by,
            "Retry of": job.retry_of or "",
            "Cancel requested": _cancel(job),
            "Log": "incomplete: some of its lines are missing" if job.log_incomplete else "",
            "Error": job.error,
        }
    )


def job_outcome(data: Json) -> View:
    """Where a job failed, and its recap."""
    job = read(Job, data)
    if job.failures:
        yield "\n"
        yield _failures(job.failures)
    if job.recap:
        yield "\n"
        yield _recap(job.recap)


def job(data: Json) -> View:
    """All about a job, and its log if it is there."""
    yield from job_heading(data)
    yield from job_outcome(data)
    logs = read(Job, data).logs
    if logs:
        yield "\n" if logs[0] else ""
        yield from (f"{line}\n" for line in logs)


def globals(data: Json) -> View:  # noqa: A001 -- named by its noun
    """One row for each global extra var."""
    yield from settings(read(Globals, data).extra_vars)


def settings(data: Json) -> View:
    """One row for each value, named by its path."""
    table = _table("NAME", "VALUE")
    for name, value in _flat(data):
        table.add_row(_cell(name), _cell(_value(value)))
    yield from _if_rows(table)


def log_text(*, timestamps: bool) -> Callable[[Iterator[Json]], Iterator[str]]:
    """Make a writer of log lines."""

    def write(lines: Iterator[Json]) -> Iterator[str]:
        at_start = True
        for line in (read(LogLine, item) for item in lines):
            stamp = f"{_time(line.at)}  " if timestamps and at_start else ""
            yield stamp + line.text + ("" if line.partial else "\n")
            at_start = not line.partial

    return write


def event_text(items: Iterator[Json]) -> Iterator[str]:
    """Write events as lines that read like the rows of the timeline."""
    for event in (read(Event, item) for item in items):
        cells = (_time(event.at), f"{event!s:<40}", f"{_plain(event.job):>5}", _plain(event.detail))
        yield "  ".join(cells).rstrip() + "\n"


def _events(items: Iterable[Event]) -> Table:
    table = _table("TIME", "EVENT", "JOB", "REASON")
    for event in items:
        table.add_row(
            _cell(_time(event.at)),
            Text(_plain(event), _STYLES.get(event.result or "", "")),
            _cell(event.job),
            _cell(event.detail),
        )
    return table


def _failures(failures: Iterable[Failure]) -> Table:
    table = _table("NODE", "TASK", "MESSAGE", "LINE")
    for failure in failures:
        table.add_row(_cell(failure.node), _cell(failure.task), _cell(failure.message), _cell(failure.line))
    return table


def _recap(recap: dict[str, Recap]) -> Table:
    table = _table("NODE", *(name.upper() for name in Recap.model_fields))
    for name, counts in recap.items():
        table.add_row(_cell(name), *(_cell(count) for count in counts.model_dump().values()))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _NARROW)
    return table


def _block(values: dict[str, Any]) -> Table:
    """Lay out names and values, without those that are empty."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value != "":
            table.add_row(name, _cell(value))
    return table


def _if_rows(table: Table) -> View:
    if table.row_count:
        yield table


def _cell(value: object) -> Text:
    text = _plain(value)
    return Text(text, _STYLES.get(text, ""))


def _plain(value: object) -> str:
    """Write a value on one line, without what would move a terminal's cursor."""
    return "" if value is None else "".join(c for c in " ".join(str(value).split()) if c.isprintable())


def _node_row(node: Json) -> Sequence[str]:
    inventory = node["inventory_state"]
    return (
        inventory["name"],
        node["monitoring_state"]["management_address"],
        node["configuration_state"]["host_group"],
        inventory["status"],
        inventory["state"],
        _last_event(node["events"][-1]) if node["events"] else "",
    )


def _last_event(event: Json) -> str:
    result = f"; result: {event['result']}" if event["result"] else ""
    return f"{_time(datetime.fromisoformat(event['at']))} {event['event']}{result}"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(job: Job) -> str:
    if job.started_at is None:
        return ""
    # A running job's time is told by two clocks, which may differ.
    lasted = max((job.finished_at or datetime.now(UTC)) - job.started_at, timedelta())
    seconds = lasted.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _action(job: Job) -> str:
    return f"{job.action} (check)" if job.check else str(job.action)


def _cancel(job: Job) -> str:
    if job.cancel_requested_at is None:
        return ""
    return f"by {job.cancel_requested_by} at {_time(job.cancel_requested_at)}"


def _flat(data: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
