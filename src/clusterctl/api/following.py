"""Stays with a job or the timeline while things go on, also over broken connections."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from clusterctl.api.client import Client
from clusterctl.api.models import ALL, Json, Lines, read
from clusterctl.api.retry import Note, Retry
from clusterctl.errors import NoAnswer, NotComplete, Unavailable, Unreachable
from clusterm.enums import ENDED
from clusterm.schemas import Event, Job, LogEnd, LogLine, Page

_OUTAGE_TIMEOUT_S: Final = 60.0
"""Seconds without the service after which to give up: more than a restart or an upgrade of it takes."""

_PAGE: Final = 1000
"""Events that are asked for at once."""

_MIN_POLL_INTERVAL_S: Final = 0.1
_MAX_POLL_INTERVAL_S: Final = 1.0


def log_lines(client: Client, job: int, note: Note, lines: Lines = ALL) -> Iterator[Json]:
    """Yield a job's log lines, each once and in order, until there will be no more of them.

    That the service says so is the proof that none is missing: a stream that ends otherwise was cut off.
    """
    retry = Retry(note, _OUTAGE_TIMEOUT_S)
    while True:
        arrived = False
        try:
            for record in client.log_lines(job, lines, follow=True):
                retry.end()
                if "type" in record:
                    _check_end(read(LogEnd, record), lines, note)
                    return
                lines, arrived = lines.after(read(LogLine, record).seq), True
                yield record
        except NoAnswer:
            continue  # a task may be silent for long
        except (Unreachable, Unavailable) as error:
            retry.wait(error)
            continue
        if not arrived:
            time.sleep(_MAX_POLL_INTERVAL_S)


def end(client: Client, job: int, note: Note, *, timeout: float | None = None) -> Json:
    """Wait until a job has ended, and return it.

    Raises:
        NotComplete: it has not within `timeout` seconds.
    """
    retry = Retry(note, _OUTAGE_TIMEOUT_S)
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _MIN_POLL_INTERVAL_S
    while True:
        answer = _state(client, job, retry)
        status = read(Job, answer).status
        if status in ENDED:
            return answer
        if deadline is not None:
            pause = min(pause, deadline - time.monotonic())
            if pause <= 0:
                raise NotComplete(f"job {job} is {status} after {timeout:g} s; wait on with: clusterctl job wait {job}")
        time.sleep(pause)
        pause = min(pause * 1.5, _MAX_POLL_INTERVAL_S)


def events(ask: Callable[..., Json], note: Note, *, limit: int, since: datetime | None) -> Iterator[Json]:
    """Yield the last events of the timeline or of a node, then those to come, without end.

    Args:
        ask: asks the service for a page of them; takes `limit`, `since` and `after`.
        note: tells the user of an outage.
        limit: how many of the last ones at the most.
        since: only those at or after this time.
    """
    retry = Retry(note, _OUTAGE_TIMEOUT_S)
    # Asked first, so that nothing that happens between the two questions is missed.
    seen = max((event.id for event in _events(ask(limit=1))), default=0)
    page = ask(limit=limit, since=since)
    while True:
        found = _events(page)
        yield from page["items"]
        seen = max([seen, *(event.id for event in found)])
        if len(found) < _PAGE:
            time.sleep(_MAX_POLL_INTERVAL_S)
        page = _answer(lambda: ask(limit=_PAGE, after=seen), retry)  # noqa: B023 -- called at once


def _events(page: Json) -> list[Event]:
    return read(Page[Event], page).items


def _check_end(end: LogEnd, rest: Lines, note: Note) -> None:
    """Tell the user if lines do not come although they were asked for."""
    if rest == Lines(first=rest.first) and (first := rest.first or 1) <= end.lines:
        note(f"the log of job {end.job} ends early: the service has no line {first}")


def _state(client: Client, job: int, retry: Retry) -> Json:
    return _answer(lambda: client.job(str(job), logs=False), retry)


def _answer(ask: Callable[[], Json], retry: Retry) -> Json:
    """Return what the service answers, as soon as it does."""
    while True:
        try:
            answer = ask()
        except (Unreachable, Unavailable) as error:
            retry.wait(error)
        else:
            retry.end()
            return answer
