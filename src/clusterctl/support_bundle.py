"""Collects the contents of a support bundle: the state and history of a cluster, without secrets."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from clusterctl.api import following
from clusterctl.api.models import ALL, Json
from clusterctl.api.rest import RestClient
from clusterctl.archive import Archive
from clusterctl.errors import Refused, UnexpectedResponse
from clusterctl.views.events import event_text
from clusterm.common.redaction import MASK, redact, redact_text
from clusterm.common.timestamps import format_time
from clusterm.enums import EventKind

_TOP: Final = "clusterm-support/"
_PAGE: Final = 1000

_README: Final = """Support bundle of clusterm: state and history of one cluster, to attach to a bug report.

Created at {at}, with the last {jobs} jobs{since}.

versions.json       versions of clusterctl, of the service, of ansible, Python, SQLite and the operating system
health.json         liveness and readiness of the service
drain.json          whether the service accepts new jobs, and which jobs run
config.json         configuration of the service
globals.json        extra vars of all jobs
nodes.json          all nodes by name, with status, state, address and latest event
nodes/NAME.jsonl    events of a node, one per line, oldest first
timeline.txt        events of nodes, jobs and the service, oldest first: read this first
timeline.jsonl      the same in JSON, one event per line
service-log.txt     the latest 1000 lines of the service's own log since its start
jobs/ID/job.json    a job: action, nodes, steps, failures
jobs/ID/log.txt     output of ansible, each line with its time
missing.txt         what the service refused, and why

Secrets: values whose names look secret (passwords, tokens, keys) are replaced by {mask}, also in the text of logs and
messages if name and value are next to each other, as in password=... . A job's own secrets are masked in its log.
Secrets that the service does not know look like any other text: read the logs before you share this file.
"""


class Bundle:
    """The contents of a support bundle.

    Args:
        client: the service.
        archive: the archive to write.

    Attributes:
        nodes: number of nodes written.
        jobs: number of jobs written.
        missing: what the service refused, one line each.
    """

    def __init__(self, client: RestClient, archive: Archive) -> None:
        self.nodes = self.jobs = 0
        self.missing: list[str] = []
        self._client = client
        self._archive = archive

    def collect(self, *, jobs: int, since: datetime | None) -> None:
        """Write everything to the archive. What the service refuses is added to `missing`.

        Args:
            jobs: number of jobs, the last ones.
            since: only events and jobs from this time on.

        Raises:
            Unreachable: the service cannot be reached any more.
        """
        client = self._client
        asked = f", events and jobs since {format_time(since)}" if since else ""
        at = format_time(datetime.now(UTC))
        self._archive.add(f"{_TOP}README.txt", [_README.format(at=at, jobs=jobs, since=asked, mask=MASK)])
        self._add("versions.json", lambda: {"clusterctl": version("clusterm"), "service": client.versions()})
        self._add("health.json", lambda: {"alive": _state(client.alive), "ready": _state(client.ready)})
        self._add("drain.json", client.drain_state)
        self._add("config.json", client.config)
        self._add("globals.json", client.globals)
        nodes = self._add("nodes.json", client.nodes) or {}
        ask = partial(client.timeline, kind=list(EventKind), since=since)
        self._add_lines("timeline.jsonl", following.all_events(ask))
        told = event_text(following.all_events(ask))
        self._add_text("timeline.txt", (f"{redact_text(line.rstrip())}\n" for line in told))
        self._add_text("service-log.txt", _service_log(client))
        for name in sorted(nodes):
            events = following.all_events(partial(client.node_events, name, since=since))
            self.nodes += self._add_lines(f"nodes/{quote(name, safe='')}.jsonl", events)
        for job in self._last_jobs(jobs, since):
            if self._add(f"jobs/{job}/job.json", lambda job=job: client.job(str(job), logs=False)) is not None:  # type: ignore[misc]
                self.jobs += self._add_text(f"jobs/{job}/log.txt", _log(client, job))
        self._archive.add(f"{_TOP}missing.txt", [f"{line}\n" for line in self.missing or ["Nothing is missing."]])

    def _last_jobs(self, count: int, since: datetime | None) -> list[int]:
        found: list[int] = []
        cursor = None
        filters: dict[str, Any] = {"status": None, "action": None, "node": None, "since": since, "until": None}
        with self._tolerated("jobs"):
            while len(found) < count:
                page = self._client.jobs(**filters, limit=min(count - len(found), _PAGE), cursor=cursor)
                found += [job["id"] for job in page["items"]]
                if (cursor := page["next"]) is None:
                    break
        return found

    def _add(self, name: str, ask: Callable[[], Json]) -> Json | None:
        """Add a response of the service, and return it; None if the service refuses."""
        with self._tolerated(name):
            answer = ask()
            self._archive.add(_TOP + name, [json.dumps(_clean(answer), indent=2, ensure_ascii=False), "\n"])
            return answer
        return None

    def _add_lines(self, name: str, items: Iterable[Json]) -> bool:
        return self._add_text(name, (json.dumps(_clean(item), ensure_ascii=False) + "\n" for item in items))

    def _add_text(self, name: str, pieces: Iterable[str]) -> bool:
        """Add a text, and return whether the service provided it."""
        with self._tolerated(name):
            self._archive.add(_TOP + name, pieces)
            return True
        return False

    @contextmanager
    def _tolerated(self, name: str) -> Iterator[None]:
        """Add a refused request to `missing`, and continue."""
        try:
            yield
        except (Refused, UnexpectedResponse) as error:
            self.missing.append(f"{name}: {error}")


def _state(ask: Callable[[], Json]) -> Json:
    try:
        return ask()
    except Refused as error:
        return {"status": str(error)}


def _service_log(client: RestClient) -> Iterator[str]:
    for line in client.service_log()["lines"]:
        yield f"{redact_text(line)}\n"


def _log(client: RestClient, job: int) -> Iterator[str]:
    at_start = True
    for line in client.log_lines(job, ALL):
        stamp = f"{line['at']}  " if at_start else ""
        yield stamp + redact_text(line["text"]) + ("" if line["partial"] else "\n")
        at_start = not line["partial"]


def _clean(value: Any) -> Any:
    """Return a copy of a JSON value with secrets masked, also in its texts."""
    return _clean_texts(redact(value))


def _clean_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean_texts(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value
