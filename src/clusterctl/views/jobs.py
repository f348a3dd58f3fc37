"""Views of jobs, their tasks and differences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.output.rows import Rows
from clusterctl.views.cells import block, cell, format_duration, if_rows, names, new_table, plain, span, styled, time
from clusterm import schemas
from clusterm.enums import FAILED_TASKS, Outcome, TaskStatus

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_DIGITS: Final = 12
"""Digits that are shown of digests and commits."""

_IN_ROW: Final = 2
"""Nodes that are named in a row of a table."""

_IN_BLOCK: Final = 50
"""Nodes that are named in a block of properties."""

_IN_CELL: Final = 5
"""Nodes that are named for each status in a cell of task results."""

_IN_TABLE: Final = 50
"""Rows that are shown of each table of a job's nodes; of more nodes, the ones with the worst outcome."""

_WORST_FIRST: Final = {
    outcome: rank
    for rank, outcome in enumerate(
        (Outcome.FAILED, Outcome.UNDONE, Outcome.NOT_REACHED, Outcome.SKIPPED, None, Outcome.PASSED)
    )
}


def jobs(data: Json) -> View:
    """Return one row per job."""
    table = new_table("ID", "ACTION", "NODES", "STATUS", "CREATED", "DURATION", "ERROR")
    for job in read(schemas.Page[schemas.Job], data).items:
        table.add_row(
            cell(job.id),
            cell(_action(job)),
            cell(names(job.nodes, _IN_ROW)),
            cell(job.status),
            cell(time(job.created_at)),
            cell(job_duration(job)),
            cell(job.error or _wait(job)),
        )
    yield from if_rows(table)


def job_brief(data: Json) -> View:
    """Return id, action, nodes and status of a job."""
    job = read(schemas.Job, data)
    table = new_table("ID", "ACTION", "NODES", "STATUS")
    table.add_row(cell(job.id), cell(_action(job)), cell(names(job.nodes, _IN_ROW)), cell(job.status))
    yield table


def job_heading(data: Json) -> View:
    """Return a job's properties and status."""
    job = read(schemas.Job, data)
    yield block(
        {
            "Job": job.id,
            "Action": _action(job),
            "Nodes": names(job.nodes, _IN_BLOCK),
            "Host group": job.host_group,
            "Extra vars": json.dumps(job.extra_vars, ensure_ascii=False) if job.extra_vars else "",
            "Status": job.status,
            "Waits": _wait(job),
            "Task": job_progress(data),
            "Playbooks": _playbooks(job.provenance),
            "Created": time(job.created_at),
            "Duration": job_duration(job),
            "Requested by": job.requested_by,
            "Retry of": job.retry_of or "",
            "Trace": job.trace_id or "",
            "Cancel requested": _cancel(job),
            "Log": "incomplete: lines are missing, or may be missing" if job.log_incomplete else "",
            "Warnings": "; ".join(job.warnings),
            "Error": job.error,
            "To retry": _retry(job),
        }
    )


def job_progress(data: Json) -> str:
    """Return a job's current task and busy nodes in one line; empty if the job does not run."""
    return progress(read(schemas.Job, data).current)


def progress(current: schemas.JobProgress | None) -> str:
    """Return the progress of a job in one line; empty without any."""
    if current is None:
        return ""
    of = "" if current.expected is None else f" of about {max(current.expected, current.number)}"
    number = f" (task {current.number}{of})" if current.number else ""
    failed = f", {current.failed} failed" if current.failed else ""
    task = f"{current.step}: {current.task or 'starting ansible'}{number}{failed}"
    since = min((busy.since for busy in current.busy if busy.since), default=current.started_at)
    waiting = f", waiting for {names([busy.node for busy in current.busy], 3)}" if current.busy else ""
    return plain(f"{task}{waiting}{f', for {span(since, None)}' if since else ''}")


def job_outcome(data: Json, *, every_node: bool = False) -> View:
    """Return a job's failures and recap, and while it runs its busy nodes.

    Args:
        data: the job.
        every_node: whether the tables have all rows; otherwise a line counts the others.
    """
    job = read(schemas.Job, data)
    most = None if every_node else _IN_TABLE
    if job.current and job.current.busy:
        yield "\n"
        table = new_table("BUSY NODE", "TASK", "FOR")
        for busy in job.current.busy[:most]:
            table.add_row(cell(busy.node), cell(busy.task), cell(span(busy.since, None)))
        yield table
        yield from _rest(job, len(job.current.busy), "busy nodes", most)
    if job.failures:
        yield "\n"
        yield _failures(job.failures[:most])
        yield from _rest(job, len(job.failures), "failures", most)
    if job.recap or any(outcome is not Outcome.PASSED for outcome in job.outcomes.values()):
        yield "\n"
        yield from _recap(job, most)


def tasks(data: Json) -> View:
    """Return one row per task of a job."""
    table = new_table("STEP", "PLAY", "TASK", "DURATION", "RESULTS", "LINE")
    for task in read(schemas.Page[schemas.Task], data).items:
        table.add_row(
            cell(task.step),
            cell(task.play),
            cell(task.task),
            cell(span(task.started_at, task.finished_at) if task.finished_at else ""),
            _results(task.results),
            cell(_first_line(task.results)),
        )
    yield from if_rows(table)


def grid(data: Json) -> View:
    """Return one row per node, with a character per task, and what they mean."""
    found = read(schemas.JobGrid, data)
    if not found.tasks:
        return
    yield Rows(
        ("NODE", "RESULTS"), [(node, row.replace(" ", "-")) for node, row in zip(found.nodes, found.rows, strict=True)]
    )
    yield (
        "\n. ok  c changed  s skipped  F failed  U unreachable  i ignored  r rescued  l cleared  b busy or cut off  "
        "- not run\n"
    )
    worst = [(number, task) for number, task in enumerate(found.tasks, start=1) if task.failed]
    yield from (
        f"column {number}: {plain(task.task)} failed on {task.failed} node{'s' if task.failed > 1 else ''}\n"
        for number, task in worst
    )


def diff(data: Json) -> View:
    """Return what changed in the playbooks, vars and versions, and one row per difference of the results."""
    found = read(schemas.JobDiff, data)
    causes = list(_causes(found))
    yield from (f"{cause}\n" for cause in causes)
    if causes and (found.failing or found.changed or found.slower):
        yield "\n"
    table = new_table("WHAT", "NODE", "STEP", "TASK", "BEFORE", "AFTER", "MESSAGE", "LINE")
    for what, changes in (("fails", found.failing), ("changes", found.changed)):
        for change in changes:
            cells = (what, change.node, change.step, change.task, change.before or "not reached", change.after)
            table.add_row(*map(cell, (*cells, change.message, change.line)))
    for slower in found.slower:
        before, after = (format_duration(timedelta(seconds=seconds)) for seconds in (slower.before, slower.after))
        table.add_row(*map(cell, ("slower", "", slower.step, slower.task, before, after, "", "")))
    yield from if_rows(table)
    if found.omitted:
        yield f"{found.omitted} more differences of results are not listed\n"


def job(data: Json, *, every_node: bool = False) -> View:
    """Return everything about a job, and its log if the response has it."""
    yield from job_heading(data)
    yield from job_outcome(data, every_node=every_node)
    logs = read(schemas.Job, data).logs
    if logs:
        yield "\n" if logs[0] else ""
        yield from (f"{line}\n" for line in logs)


def _playbooks(found: schemas.Provenance | None) -> str:
    """Return which playbooks a job runs, in one line; empty if this is not known."""
    if found is None:
        return ""
    digest = f"digest {found.digest[:_DIGITS]}" if found.digest else f"no digest: {found.reason}"
    parts = [found.path, _commit(found) if found.commit else "", digest]
    parts += [f"not readable: {_first(found.unread)}"] if found.unread else []
    parts += [f"changed before step {', '.join(found.changed_before)}"] if found.changed_before else []
    parts += [f"ansible-core {found.ansible}"] if found.ansible else []
    return plain("; ".join(filter(None, parts)))


def _commit(found: schemas.Provenance) -> str:
    """Return the commit, branch and changes of playbooks."""
    changes = f" with changes: {_first(found.changed)}" if found.dirty else ""
    return f"{found.branch or 'detached'} {(found.commit or '')[:_DIGITS]}{changes}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _causes(found: schemas.JobDiff) -> Iterator[str]:
    """Yield what may have caused the differences of two jobs, in lines."""
    playbooks = found.playbooks
    if playbooks and playbooks.reason:
        yield f"playbooks: {plain(playbooks.reason)}"
    elif playbooks and playbooks.before and playbooks.after:
        states = [_playbooks_state(one) for one in (playbooks.before, playbooks.after)]
        if playbooks.before.digest != playbooks.after.digest or states[0] != states[1]:
            yield plain(f"playbooks: {states[0]} -> {states[1]}")
        for what in ("added", "changed", "removed"):
            yield from (f"  {what:8} {plain(name)}" for name in getattr(playbooks, what))
        if playbooks.omitted:
            yield f"  and {playbooks.omitted} more files"
    for change in found.vars:
        before, after = (json.dumps(value, ensure_ascii=False) for value in (change.before, change.after))
        yield plain(f"vars: {change.name} {before} -> {after}{' (the secret differs)' if before == after else ''}")
    for change in found.versions:
        yield plain(f"versions: {change.name} {change.before or 'none'} -> {change.after or 'none'}")


def _playbooks_state(found: schemas.Provenance) -> str:
    return _commit(found) if found.commit else f"digest {(found.digest or '')[:_DIGITS]}"


def _retry(job: schemas.Job) -> str:
    """Return the command that retries a job on the nodes that did not pass; empty if all passed or it still runs."""
    left = sum(outcome is not Outcome.PASSED for outcome in job.outcomes.values())
    if not left or job.check:
        return ""
    every = len(job.outcomes)
    return f"clusterctl job retry {job.id}" + ("" if left == every else f" --failed-only ({left} of {every} nodes)")


def _failures(failures: Iterable[schemas.Failure]) -> Table:
    table = new_table("NODE", "TASK", "MESSAGE", "LINE", "STEP")
    for failure in failures:
        cells = (failure.node, failure.task, failure.message, failure.line, failure.step)
        table.add_row(*map(cell, cells))
    return table


def _recap(job: schemas.Job, most: int | None) -> View:
    """Return ansible's recap and the outcome of each node of the job, or of the worst ones."""
    nodes = list({**job.recap, **job.outcomes})
    is_cut = most is not None and len(nodes) > most
    if is_cut:
        nodes.sort(key=lambda name: _WORST_FIRST[job.outcomes.get(name)])
    table = new_table("NODE", *(name.upper() for name in schemas.Recap.model_fields), "OUTCOME")
    for name in nodes[:most]:
        counts = job.recap[name].model_dump().values() if name in job.recap else [""] * len(schemas.Recap.model_fields)
        table.add_row(cell(name), *map(cell, counts), cell(job.outcomes.get(name)))
    yield table
    if is_cut:
        counted = Counter(job.outcomes.values())
        yield ", ".join(f"{counted[outcome]} {outcome}" for outcome in _WORST_FIRST if outcome and counted[outcome])
        yield "; "
    yield from _rest(job, len(nodes), "nodes", most)


def _rest(job: schemas.Job, count: int, what: str, most: int | None) -> Iterator[str]:
    """Yield a line on the rows that a table leaves out, if it does."""
    if most is not None and count > most:
        yield f"{most} of {count} {what} are shown; all: clusterctl job get {job.id} --no-logs --all-nodes\n"


def _first_line(results: Sequence[schemas.TaskResult]) -> int | None:
    """Return the first log line of a task's results, of the failed ones if a result failed."""
    failed = [result for result in results if result.status in FAILED_TASKS]
    return min((result.first_line for result in failed or results if result.first_line), default=None)


def _results(results: Sequence[schemas.TaskResult]) -> Text:
    """Return the results of a task: numbers of successes, and names of the other nodes."""
    nodes: dict[str, list[str]] = {}
    for result in results:
        nodes.setdefault(result.status or "busy or cut off", []).append(result.node)
    well = {TaskStatus.OK, TaskStatus.CHANGED, TaskStatus.SKIPPED}
    parts = [
        f"{len(of_status)} {status}" if status in well else f"{status}: {names(of_status, _IN_CELL)}"
        for status, of_status in nodes.items()
    ]
    bad = not nodes.keys().isdisjoint(FAILED_TASKS)
    return styled(plain(", ".join(parts)), "red" if bad else "")


def job_duration(job: schemas.Job) -> str:
    """Return how long a job took, or has run so far."""
    if job.seconds is None:  # it has not begun, or the service is of version 0.1
        return span(job.started_at, job.finished_at)
    return format_duration(timedelta(seconds=job.seconds))


def _wait(job: schemas.Job) -> str:
    """Return why a queued job waits, and its place in the queue."""
    return f"place {job.wait.place} of {job.wait.queued}: {job.wait.reason}" if job.wait else ""


def _action(job: schemas.Job) -> str:
    return f"{job.action} (check)" if job.check else str(job.action)


def _cancel(job: schemas.Job) -> str:
    if job.cancel_requested_at is None:
        return ""
    return f"by {job.cancel_requested_by} at {time(job.cancel_requested_at)}"
