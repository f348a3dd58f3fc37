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
from clusterm.node_requests import ImportAnswer, KnownHostKeys
from clusterm.schemas import (
    Event,
    Failure,
    Globals,
    Job,
    JobDiff,
    LogLine,
    Node,
    Page,
    Recap,
    Task,
    TaskResult,
)
from clusterm.states import JobStatus, Result, State, Status, TaskStatus

_NARROW: Final = {"TIME", "CREATED", "JOB", "ID", "STATUS", "LINE", "STEP", "DURATION", "FOR", "WHAT"}
"""Columns that are never wrapped, for what is in them is short."""

_BAD: Final = frozenset({TaskStatus.FAILED, TaskStatus.UNREACHABLE})

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
    yield block(
        {
            "Node": inventory.name,
            "Address": shown.monitoring_state.management_address,
            "Host group": configuration.host_group,
            "Status": inventory.status,
            "State": inventory.state,
            "Host vars": ", ".join(f"{k}={_value(v)}" for k, v in configuration.inventory_vars.items()),
            "Host key": ", ".join(map(str, configuration.host_keys)),
        }
    )
    if shown.events:
        yield "\n"
        yield _node_events(shown.events)


def host_keys(data: Json) -> View:
    """The host keys of a node, and those that it had."""
    answer = read(KnownHostKeys, data)
    yield block(
        {
            "Node": answer.name,
            "Host key": ", ".join(map(str, answer.host_keys)),
            "Forgotten": ", ".join(map(str, answer.forgotten)),
        }
    )


def events(data: Json) -> View:
    """One row for each event of the timeline."""
    yield from _if_rows(_events(read(Page[Event], data).items))


def node_events(data: Json) -> View:
    """One row for each event of a node, with what it changed and who wanted it."""
    yield from _if_rows(_node_events(read(Page[Event], data).items))


def imported(data: Json) -> View:
    """One row for each host of an inventory."""
    answer = read(ImportAnswer, data)
    done = "would be imported" if answer.dry_run else "imported"
    table = _table("NODE", "ADDRESS", "HOST GROUP", "RESULT", "REASON")
    for outcome in answer.nodes:
        table.add_row(
            _cell(outcome.node),
            _cell(outcome.address),
            _cell(outcome.host_group),
            _cell(done if outcome.imported else "skipped"),
            _cell(outcome.reason),
        )
    yield from _if_rows(table)


def jobs(data: Json) -> View:
    """One row for each job of the history."""
    table = _table("ID", "ACTION", "NODES", "STATUS", "CREATED", "DURATION", "ERROR")
    for job in read(Page[Job], data).items:
        table.add_row(
            _cell(job.id),
            _cell(_action(job)),
            _cell(", ".join(job.nodes)),
            _cell(job.status),
            _cell(time(job.created_at)),
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
    yield block(
        {
            "Job": job.id,
            "Action": _action(job),
            "Nodes": ", ".join(job.nodes),
            "Host group": job.host_group,
            "Extra vars": json.dumps(job.extra_vars, ensure_ascii=False) if job.extra_vars else "",
            "Status": job.status,
            "Task": job_progress(data),
            "Created": time(job.created_at),
            "Duration": _duration(job),
            "Requested by": job.requested_by,
            "Retry of": job.retry_of or "",
            "Cancel requested": _cancel(job),
            "Log": "incomplete: some of its lines are missing" if job.log_incomplete else "",
            "Error": job.error,
        }
    )


def job_progress(data: Json) -> str:
    """What a job is at, in a line; empty if it does not run."""
    current = read(Job, data).current
    if current is None:
        return ""
    task = f"{current.step}: {current.task or 'starting ansible'}"
    since = min((busy.since for busy in current.busy if busy.since), default=current.started_at)
    names = [busy.node for busy in current.busy]
    others = f" and {len(names) - 3} more" if len(names) > 3 else ""
    waiting = f", waiting for {', '.join(names[:3])}{others}" if names else ""
    return _plain(f"{task}{waiting}{f', for {span(since, None)}' if since else ''}")


def job_outcome(data: Json) -> View:
    """Where a job failed, and its recap; which nodes are at work while it runs."""
    job = read(Job, data)
    if job.current and job.current.busy:
        yield "\n"
        table = _table("BUSY NODE", "TASK", "FOR")
        for busy in job.current.busy:
            table.add_row(_cell(busy.node), _cell(busy.task), _cell(span(busy.since, None)))
        yield table
    if job.failures:
        yield "\n"
        yield _failures(job.failures)
    if job.recap:
        yield "\n"
        yield _recap(job)


def tasks(data: Json) -> View:
    """One row for each task of a job."""
    table = _table("STEP", "PLAY", "TASK", "DURATION", "RESULTS", "LINE")
    for task in read(Page[Task], data).items:
        table.add_row(
            _cell(task.step),
            _cell(task.play),
            _cell(task.task),
            _cell(span(task.started_at, task.finished_at) if task.finished_at else ""),
            _results(task.results),
            _cell(_first_line(task.results)),
        )
    yield from _if_rows(table)


def diff(data: Json) -> View:
    """One row for each difference between two jobs."""
    found = read(JobDiff, data)
    table = _table("WHAT", "NODE", "STEP", "TASK", "BEFORE", "AFTER", "MESSAGE", "LINE")
    for what, changes in (("fails", found.failing), ("changes", found.changed)):
        for change in changes:
            cells = (what, change.node, change.step, change.task, change.before or "not reached", change.after)
            table.add_row(*map(_cell, (*cells, change.message, change.line)))
    for slower in found.slower:
        before, after = (_lasted(timedelta(seconds=seconds)) for seconds in (slower.before, slower.after))
        table.add_row(*map(_cell, ("slower", "", slower.step, slower.task, before, after, "", "")))
    yield from _if_rows(table)


def job(data: Json) -> View:
    """All about a job, and its log if it is there."""
    yield from job_heading(data)
    yield from job_outcome(data)
    logs = read(Job, data).logs
    if logs:
        yield "\n" if logs[0] else ""
        yield from (f"{line}\n" for line in logs)


def verified(data: Json) -> View:
    """That a log is what it was, if it is."""
    if data["verified"]:
        yield (
            f"the log of job {data['job']} is what it was when the job ended: {data['lines']} lines, "
            f"{data['bytes']} bytes, SHA-256 {data['sha256']}\n"
        )
    if data["verified"] and data["log_incomplete"]:
        yield "some lines were left out of it before the job ended, because it was too large or the disk was full\n"


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
        before: LogLine | None = None
        for line in (read(LogLine, item) for item in lines):
            goes_on = before is not None and before.partial and before.seq + 1 == line.seq
            end = "\n" if before is not None and before.partial and not goes_on else ""  # its next part is not wanted
            stamp = f"{time(line.at)}  " if timestamps and not goes_on else ""
            yield end + stamp + line.text + ("" if line.partial else "\n")
            before = line
        if before is not None and before.partial:
            yield "\n"

    return write


def event_text(items: Iterator[Json]) -> Iterator[str]:
    """Write events as lines that read like the rows of the timeline."""
    for event in (read(Event, item) for item in items):
        cells = (time(event.at), f"{_plain(event):<40}", f"{_plain(event.job):>5}", _plain(event.detail))
        yield "  ".join(cells).rstrip() + "\n"


def _events(items: Iterable[Event]) -> Table:
    table = _table("TIME", "EVENT", "JOB", "REASON")
    for event in items:
        table.add_row(
            _cell(time(event.at)),
            Text(_plain(event), _STYLES.get(event.result or "", "")),
            _cell(event.job),
            _cell(event.detail),
        )
    return table


def _node_events(items: Iterable[Event]) -> Table:
    table = _table("TIME", "EVENT", "CHANGE", "JOB", "BY", "REASON")
    for event in items:
        changes = (f"{name} {_value(before)} → {_value(after)}" for name, (before, after) in event.changes.items())
        table.add_row(
            _cell(time(event.at)),
            Text(_plain(event), _STYLES.get(event.result or "", "")),
            _cell(", ".join(changes)),
            _cell(event.job),
            _cell(event.by or event.cause),
            _cell(event.detail),
        )
    return table


def _failures(failures: Iterable[Failure]) -> Table:
    table = _table("NODE", "TASK", "MESSAGE", "LINE", "STEP")
    for failure in failures:
        cells = (failure.node, failure.task, failure.message, failure.line, failure.step)
        table.add_row(*map(_cell, cells))
    return table


def _recap(job: Job) -> Table:
    """Lay out what ansible counted, and for each node of the job whether it passed."""
    table = _table("NODE", *(name.upper() for name in Recap.model_fields), "RESULT")
    for name in {**job.recap, **job.results}:
        counts = job.recap[name].model_dump().values() if name in job.recap else [""] * len(Recap.model_fields)
        table.add_row(_cell(name), *map(_cell, counts), _cell(job.results.get(name)))
    return table


def _first_line(results: Sequence[TaskResult]) -> int | None:
    """Return where in the log the results of a task begin, those that failed if there are some."""
    failed = [result for result in results if result.status in _BAD]
    return min((result.first_line for result in failed or results if result.first_line), default=None)


def _results(results: Sequence[TaskResult]) -> Text:
    """Say how a task ended: how often well, and on which nodes not."""
    nodes: dict[str, list[str]] = {}
    for result in results:
        nodes.setdefault(result.status or "busy or cut off", []).append(result.node)
    well = {TaskStatus.OK, TaskStatus.CHANGED, TaskStatus.SKIPPED}
    parts = [
        f"{len(names)} {status}" if status in well else f"{status}: {' '.join(names)}"
        for status, names in nodes.items()
    ]
    bad = not nodes.keys().isdisjoint(_BAD)
    return Text(_plain(", ".join(parts)), "red" if bad else "")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _NARROW)
    return table


def block(values: dict[str, Any]) -> Table:
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
    return f"{time(datetime.fromisoformat(event['at']))} {event['event']}{result}"


def time(at: datetime) -> str:
    """Write a time to the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(job: Job) -> str:
    return span(job.started_at, job.finished_at)


def span(start: datetime | None, end: datetime | None) -> str:
    """Say how long something took, or takes until now."""
    # What goes on is told by two clocks, which may differ.
    return "" if start is None else _lasted(max((end or datetime.now(UTC)) - start, timedelta()))


def _lasted(lasted: timedelta) -> str:
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
    return f"by {job.cancel_requested_by} at {time(job.cancel_requested_at)}"


def _flat(data: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
