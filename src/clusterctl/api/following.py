"""Follows jobs and events, and resumes after broken connections; reads all events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from clusterctl.api.models import ALL, Json, Lines, read
from clusterctl.api.rest import RestClient
from clusterctl.api.retry import PrintNote, Retry
from clusterctl.errors import NoAnswer, NotComplete, Unavailable, Unreachable
from clusterm import schemas
from clusterm.enums import ENDED

_OUTAGE_TIMEOUT_S: Final = 60.0
"""Seconds without the service after which following stops: longer than a restart or an upgrade takes."""

_SILENCE_S: Final = 10.0
"""Seconds without a log line after which the service is asked whether it is alive. Tasks may print nothing for long."""

_ALIVE_TIMEOUT_S: Final = 5.0
"""Seconds that the service has to answer that."""

_PAGE: Final = 1000
"""Maximum number of events per request."""

_MIN_POLL_INTERVAL_S: Final = 0.1
_MAX_POLL_INTERVAL_S: Final = 1.0


def log_lines(client: RestClient, job: int, note: PrintNote, lines: Lines = ALL) -> Iterator[Json]:
    """Yield a job's log lines, each once and in order, until the log is complete.

    The service ends a complete log with a `LogEnd`; a stream without one was cut off, and is resumed.
    """
    client.parting = _parting(job)
    retry = Retry(note, _OUTAGE_TIMEOUT_S)
    while True:
        arrived = False
        try:
            for record in client.log_lines(job, lines, follow=True, silence=_SILENCE_S):
                retry.end()
                if "type" in record:
                    _check_end(read(schemas.LogEnd, record), lines, note)
                    return
                lines, arrived = lines.after(read(schemas.LogLine, record).seq), True
                yield record
        except NoAnswer:
            _check_alive(client, retry)
            continue
        except (Unreachable, Unavailable) as error:
            retry.wait(error)
            continue
        if not arrived:
            time.sleep(_MAX_POLL_INTERVAL_S)


def end(
    client: RestClient,
    job: int,
    note: PrintNote,
    *,
    timeout: float | None = None,
    report: Callable[[Json], None] = lambda _: None,
) -> Json:
    """Wait until a job has ended, and return it.

    Args:
        client: the service.
        job: the job's id.
        note: prints that the service does not answer.
        timeout: seconds to wait; None waits without a limit.
        report: called with the job each time that it was read before its end.

    Raises:
        NotComplete: the job has not ended within `timeout` seconds.
    """
    client.parting = _parting(job)
    retry = Retry(note, _OUTAGE_TIMEOUT_S)
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _MIN_POLL_INTERVAL_S
    while True:
        answer = _state(client, job, retry)
        known = read(schemas.Job, answer)
        status = known.status
        if status in ENDED:
            client.parting = None
            return answer
        client.parting = _parting(job, is_stopping=known.cancel_requested_at is not None)
        report(answer)
        if deadline is not None:
            pause = min(pause, deadline - time.monotonic())
            if pause <= 0:
                raise NotComplete(
                    f"job {job} is {status} after {timeout:g} s; wait longer with: clusterctl job wait {job}"
                )
        time.sleep(pause)
        pause = min(pause * 1.5, _MAX_POLL_INTERVAL_S)


def events(ask: Callable[..., Json], note: PrintNote, *, limit: int, since: datetime | None) -> Iterator[Json]:
    """Yield the last events of the timeline or of a node, then new events without end.

    Args:
        ask: requests a page of events; takes `limit`, `since` and `after`.
        note: prints that the service does not answer.
        limit: maximum number of past events.
        since: only events at or after this time.
    """
    retry = Retry(note, _OUTAGE_TIMEOUT_S)
    # Requested first, so that no event between the two requests is missed.
    seen = max((event.id for event in _events(ask(limit=1))), default=0)
    page = ask(limit=limit, since=since)
    while True:
        found = _events(page)
        yield from page["items"]
        seen = max([seen, *(event.id for event in found)])
        if len(found) < _PAGE:
            time.sleep(_MAX_POLL_INTERVAL_S)
        page = _answer(lambda: ask(limit=_PAGE, after=seen), retry)  # noqa: B023 -- called at once


def all_events(ask: Callable[..., Json]) -> Iterator[Json]:
    """Yield all past events, oldest first.

    Args:
        ask: requests a page of events; takes `limit` and `after`.
    """
    seen = 0
    while True:
        items = ask(limit=_PAGE, after=seen)["items"]
        yield from items
        if len(items) < _PAGE:
            return
        seen = items[-1]["id"]


def _events(page: Json) -> list[schemas.Event]:
    return read(schemas.Page[schemas.Event], page).items


def _parting(job: int, *, is_stopping: bool = False) -> str:
    """Return what to print if the user interrupts the wait for a job."""
    if is_stopping:
        return f"job {job} ends when ansible has exited; wait for that with: clusterctl job wait {job}"
    follow, cancel = f"clusterctl job get {job} --follow", f"clusterctl job cancel {job}"
    return f"job {job} continues; follow it with: {follow}; cancel it with: {cancel}"


def _check_alive(client: RestClient, retry: Retry) -> None:
    """Check that a service that sends no log lines is alive; raise the error if it has not been for long."""
    try:
        client.alive(_ALIVE_TIMEOUT_S)
    except (Unreachable, Unavailable) as error:
        retry.wait(error)
    else:
        retry.end()


def _check_end(end: schemas.LogEnd, rest: Lines, note: PrintNote) -> None:
    """Print a note if the log ends before the requested lines."""
    if rest == Lines(first=rest.first) and (first := rest.first or 1) <= end.lines:
        note(f"the log of job {end.job} ends early: the service has no line {first}")


def _state(client: RestClient, job: int, retry: Retry) -> Json:
    return _answer(lambda: client.job(str(job), logs=False), retry)


def _answer(ask: Callable[[], Json], retry: Retry) -> Json:
    """Return the response; repeat the request while the service is unreachable."""
    while True:
        try:
            answer = ask()
        except (Unreachable, Unavailable) as error:
            retry.wait(error)
        else:
            retry.end()
            return answer
