"""View of a node's explanation."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import plain, span, time
from clusterm import schemas
from clusterm.enums import ENDED


def explanation(data: Json) -> View:
    """Return a node's status and state in words, their history, failures, and the commands to run next."""
    shown = read(schemas.Explanation, data)
    state_since = f", since {time(shown.state_since)}" if shown.state_since else ""
    yield from (
        f"{plain(shown.node)} is {shown.status}: {plain(shown.status_means)}\n",
        *(f"  {plain(line)}\n" for line in _history(shown)),
        f"It is {shown.state}{state_since}: {plain(shown.state_means)}\n",
    )
    if shown.failures:
        yield "\nWhere it failed:\n"
        for failure in shown.failures:
            line = f", line {failure.line}" if failure.line else ""
            yield f"  {plain(failure.reason)} ({failure.step}{line})\n"
    if shown.look_at:
        yield "\nLook at:\n"
        yield from (f"  {plain(command)}\n" for command in shown.look_at)
    allowed = [step for step in shown.next_steps if step.allowed]
    refused = [step for step in shown.next_steps if not step.allowed]
    yield from _steps("\nYou can:\n", allowed)
    yield from _steps("\nYou cannot now:\n", refused)


def _history(shown: schemas.Explanation) -> Iterator[str]:
    """Yield the history of the node's status."""
    job, event = shown.job, shown.event
    since = f"since {time(shown.since)}" if shown.since else "since an unknown time"
    if job is not None and job.status not in ENDED:
        yield f"{since}: job {job.id} ({job.desc}) runs on the node, requested by {job.requested_by}"
        for busy in job.current.busy if job.current else []:
            if busy.node == shown.node:
                yield f"it is busy with {busy.task} for {span(busy.since, None)}"
    elif job is not None:
        how = f"{job.status}: {job.error}" if job.error else job.status
        yield f"{since}: job {job.id} ({job.desc}), requested by {job.requested_by}, ended {how}"
    elif event is not None:
        detail = f": {event.detail}" if event.detail else ""
        yield f"{since}: {event.event} by job {event.job}, which is no longer kept; result: {event.result}{detail}"
    else:
        yield f"{since}: no job has run on the node"
    if shown.waiting:
        yield f"queued for the node: job {', '.join(map(str, shown.waiting))}"


def _steps(heading: str, steps: list[schemas.SuggestedCommand]) -> Iterator[str]:
    if steps:
        yield heading
    for step in steps:
        yield f"  {plain(step.command)}\n      {plain(step.what)}\n"
        if step.reason:
            yield f"      refused: {plain(step.reason)}\n"
