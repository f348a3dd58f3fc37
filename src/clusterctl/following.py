"""Stays with a job or the timeline while things go on, also over broken connections."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from clusterctl.client import ALL, Client, Json, Lines, read
from clusterctl.errors import NoAnswer, NotComplete, NotNow, Unreachable
from clusterctl.outage import Note, Outage
from clusterm.schemas import Event, Job, LogEnd, LogLine, Page
from clusterm.states import ENDED

_PATIENCE: Final = 60.0
"""Seconds without the service after which to give up: more than a restart or an upgrade of it takes."""

_SHORTEST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0


def log_lines(client: Client, job: int, note: Note, lines: Lines = ALL) -> Iterator[Json]:
    """Yield a job's log lines, each once and in order, until there will be no more of them.

    That the service says so is the proof that none is missing: a stream that ends otherwise was cut off.
    """
    outage = Outage(note, _PATIENCE)
    while True:
        arrived = False
        try:
            for record in client.log_lines(job, lines, follow=True):
                outage.end()
                if "type" in record:
                    _check_end(read(LogEnd, record), lines, note)
                    return
                lines, arrived = lines.after(read(LogLine, record).seq), True
                yield record
        except NoAnswer:
            continue  # a task may be silent for long
        except (Unreachable, NotNow) as error:
            outage.endure(error)
            continue
        if not arrived:
            time.sleep(_LONGEST_PAUSE)


def end(client: Client, job: int, note: Note, *, timeout: float | None = None) -> Json:
    """Wait until a job has ended, and return it.

    Raises:
        NotComplete: it has not within `timeout` seconds.
    """
    outage = Outage(note, _PATIENCE)
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _SHORTEST_PAUSE
    while True:
        answer = _state(client, job, outage)
        status = read(Job, answer).status
        if status in ENDED:
            return answer
        if deadline is not None:
            pause = min(pause, deadline - time.monotonic())
            if pause <= 0:
                raise NotComplete(f"job {job} is {status} after {timeout:g} s; wait on with: clusterctl job wait {job}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def events(client: Client, note: Note, *, limit: int, node: str | None, since: datetime | None) -> Iterator[Json]:
    """Yield the last events of the timeline, then those to come, without end."""
    outage = Outage(note, _PATIENCE)
    # Asked first, so that nothing that happens between the two questions is missed.
    newest = read(Page[Event], client.timeline(limit=1, node=node)).items
    page = client.timeline(limit=limit, node=node, since=since)
    seen = 0
    while True:
        for item, event in zip(page["items"], read(Page[Event], page).items, strict=True):
            if event.id > seen:
                seen = event.id
                yield item
        seen = max(seen, *(event.id for event in newest))
        time.sleep(_LONGEST_PAUSE)
        page = _page_back_to(client, seen, node, outage)


def _check_end(end: LogEnd, rest: Lines, note: Note) -> None:
    """Tell the user if lines do not come although they were asked for."""
    if rest == Lines(first=rest.first) and (first := rest.first or 1) <= end.lines:
        note(f"the log of job {end.job} ends early: the service has no line {first}")


def _state(client: Client, job: int, outage: Outage) -> Json:
    while True:
        try:
            answer = client.job(str(job), logs=False)
        except (Unreachable, NotNow) as error:
            outage.endure(error)
        else:
            outage.end()
            return answer


def _page_back_to(client: Client, event: int, node: str | None, outage: Outage) -> Json:
    """Return a page of the timeline that begins no later than after that event.

    Asking by id and not by time, because clocks jump.
    """
    limit = 100
    while True:
        try:
            page = client.timeline(limit=limit, node=node)
        except (Unreachable, NotNow) as error:
            outage.endure(error)
            continue
        outage.end()
        found = read(Page[Event], page).items
        if len(found) < limit or found[0].id <= event:
            return page
        limit *= 2
