"""Talks to the service: one method per route, each answering with the JSON that the service sent."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx

from clusterctl.api.connection import Certificates, connect, fault_of_tls
from clusterctl.api.models import Json, Lines, format_optional_time, read
from clusterctl.api.retry import Note, Retry
from clusterctl.credentials import Token
from clusterctl.errors import (
    ConnectionLost,
    NoAnswer,
    NotClusterm,
    NotTrusted,
    Refused,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from clusterm.enums import Action
from clusterm.schemas import Problem

_NONE: Final = Certificates()
_TIMEOUT: Final = httpx.Timeout(30, connect=10)
_RETRY_TIMEOUT_S: Final = 10.0
"""Seconds for which a request is sent again after its connection broke, or after others came too often."""

_LOGIN_HINT: Final = "give one with --token-file or CLUSTERM_TOKEN, or keep one with: clusterctl login"
_NEW_TOKEN_HINT: Final = "; on the service's host one is made with: clusterm token create"  # noqa: S105

_LIST_NODES_HINT: Final = "; see which there are with: clusterctl nodes get"
_POSSIBLY_STARTED: Final = "; it may have been done all the same, see: clusterctl job list"
_POSSIBLY_CHANGED: Final = "; it may have been done all the same, see: clusterctl nodes get"
_LIST_JOBS_HINT: Final = "; see which there are with: clusterctl job list"


class Client:
    """A clusterm service.

    Args:
        url: where it is, as `values.parse_url` makes it.
        note: tells the user why it takes long.
        certificates: for a URL that begins with https.
        timeout: how long it may take to answer.
        token: goes to this service and, since no redirect is followed, to no other.
    """

    def __init__(
        self,
        url: str,
        note: Note,
        certificates: Certificates = _NONE,
        timeout: httpx.Timeout | float = _TIMEOUT,
        token: Token | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._note = note
        self._certificates = certificates
        self._http = connect(url, certificates, timeout)
        if token:
            self._http.headers["Authorization"] = f"Bearer {token.text}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def nodes(self, names: Sequence[str] = (), **filters: Sequence[str] | None) -> Json:
        """Nodes by name: those named, or all, as far as they pass the filters of the route."""
        return self._get("/info/nodes", name=names, **filters, see=_LIST_NODES_HINT)

    def node(self, name: str) -> Json:
        """One node."""
        return self._get(f"/info/node/{_segment(name)}", see=_LIST_NODES_HINT)

    def node_events(
        self,
        name: str,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        after: int | None = None,
    ) -> Json:
        """A page of a node's events: the latest ones, or the first ones after some event."""
        path = f"/info/node/{_segment(name)}/events"
        return self._get(
            path, limit=limit, cursor=cursor, since=format_optional_time(since), after=after, see=_LIST_NODES_HINT
        )

    def explanation(self, name: str) -> Json:
        """What a node's status and state mean, how it came to them, and what may be done next."""
        return self._get(f"/info/node/{_segment(name)}/explain", see=_LIST_NODES_HINT)

    def start(self, action: Action, nodes: list[str], **terms: Any) -> Json:
        """Commission, decommission or update nodes; the answer is the job.

        Args:
            action: which of them.
            nodes: names or management addresses.
            terms: the other members of `schemas.NodesRequest`; None is one not given.
        """
        return self._begin(f"/{action}/nodes", {"nodes": nodes, **_given(terms)}, see=_LIST_NODES_HINT)

    def plan(self, action: Action, nodes: list[str], **terms: Any) -> Json:
        """What `start` would do with the same arguments."""
        return self._post(f"/plan/{action}/nodes", {"nodes": nodes, **_given(terms)}, see=_LIST_NODES_HINT)

    def discover(self, addrs: list[str], **terms: Any) -> Json:
        """Run the configure playbook on addresses; the answer is the job.

        Args:
            addrs: IP addresses or host names.
            terms: the other members of `schemas.DiscoverRequest`; None is one not given.
        """
        return self._begin("/discover/nodes", {"addrs": addrs, **_given(terms)})

    def retry(self, job: str, *, failed_only: bool, queue: bool) -> Json:
        """Do what an ended job did once more; the answer is the new job."""
        body = {"failed_only": failed_only, "queue": queue}
        return self._begin(f"/job/{_segment(job)}/retry", body, see=_LIST_JOBS_HINT)

    def cancel(self, job: int, *, cleanup: bool) -> Json:
        """Stop a job. By its id, for which job is `active` may change between two attempts."""
        return self._begin(f"/job/{job}/cancel", {"cleanup": cleanup}, see=_LIST_JOBS_HINT)

    def announce(self, label: str, serial: str, addr: str) -> Json:
        """Tell the service, as monitoring would, that a node is there."""
        node = {"label": label, "serial": serial, "addr": addr}
        return self._post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": [node]}})

    def set_node(self, name: str, *, host_group: str, host_vars: dict[str, Any]) -> Json:
        """Set a node's host group and host vars; the answer is the node."""
        body = {"host_group": host_group, "vars": host_vars}
        return self._post(f"/node/{_segment(name)}/set", body, see=_LIST_NODES_HINT)

    def set_host_keys(self, name: str, keys: Sequence[str]) -> Json:
        """Say which host keys a node has; none to forget those that are known."""
        return self._post(
            f"/node/{_segment(name)}/host-keys", {"keys": list(keys)}, see=_LIST_NODES_HINT, repeatable=False
        )

    def rename_node(self, name: str, new: str) -> Json:
        """Call a node something else; the answer is the node."""
        return self._post(f"/node/{_segment(name)}/rename", {"name": new}, see=_LIST_NODES_HINT, repeatable=False)

    def remove_node(self, name: str, *, force: bool) -> Json:
        """Forget a node; the answer is what it was."""
        return self._post(f"/node/{_segment(name)}/remove", {"force": force}, see=_LIST_NODES_HINT, repeatable=False)

    def import_nodes(self, nodes: list[Json], groups: dict[str, str], *, dry_run: bool) -> Json:
        """Make nodes known; the answer says what became of each."""
        return self._post("/import/nodes", {"nodes": nodes, "map": groups, "dry_run": dry_run}, repeatable=False)

    def job(self, job: str, *, logs: bool) -> Json:
        """A job, by id or as `active` or `last`."""
        return self._get(f"/info/job/{_segment(job)}", logs=logs, see=_LIST_JOBS_HINT)

    def tasks(self, job: int, *, node: str | None, status: str | None, task: str | None) -> Json:
        """All tasks of a job with their results, in the shape of a page."""
        items: list[Json] = []
        cursor = None
        while True:
            page = self._get(
                f"/info/job/{job}/tasks",
                node=node,
                status=status,
                task=task,
                limit=1000,
                cursor=cursor,
                see=_LIST_JOBS_HINT,
            )
            items += page.get("items", [])
            cursor = page.get("next")
            if cursor is None:
                return {"items": items, "next": None}

    def compare(self, before: str, after: str) -> Json:
        """What is different in a job from an earlier one, each an id, `active` or `last`."""
        return self._get(f"/info/job/{_segment(before)}/diff/{_segment(after)}", see=_LIST_JOBS_HINT)

    def jobs(
        self,
        *,
        status: str | None,
        action: str | None,
        node: str | None,
        since: datetime | None,
        until: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Json:
        """A page of the job history."""
        return self._get(
            "/info/jobs",
            status=status,
            action=action,
            node=node,
            since=format_optional_time(since),
            until=format_optional_time(until),
            limit=limit,
            cursor=cursor,
        )

    def timeline(
        self, *, limit: int, node: str | None, since: datetime | None = None, after: int | None = None
    ) -> Json:
        """The timeline's last events, or the first ones after some event."""
        return self._get("/info/jobs/timeline", limit=limit, node=node, since=format_optional_time(since), after=after)

    def log_lines(self, job: int, lines: Lines, *, follow: bool = False) -> Iterator[Json]:
        """The lines of a job's log, as they arrive; for a follower that has all of them then a `LogEnd`."""
        params = _given({**lines.parameters(), "follow": follow})
        headers = {"accept": "application/x-ndjson"}
        path = f"/info/logs/{job}"
        with self._faults(), self._http.stream("GET", path, params=params, headers=headers) as response:
            if not response.is_success:
                response.read()
            self._check(response, "application/x-ndjson", see=_LIST_JOBS_HINT)
            rest = b""
            for data in response.iter_bytes():  # httpx's own lines end at more than newlines
                *records, rest = (rest + data).split(b"\n")
                yield from map(self._parse, records)

    def versions(self) -> Json:
        """Which versions are at work."""
        return self._get("/info/version")

    def alive(self) -> Json:
        """Whether the service answers at all."""
        return self._get("/healthz")

    def ready(self) -> Json:
        """Whether the service can do its work; refused if not."""
        return self._get("/readyz")

    def status(self) -> Json:
        """How the service is, at a glance."""
        return self._get("/info/status")

    def drain_state(self) -> Json:
        """Whether new jobs are refused, and what still runs."""
        return self._get("/info/drain")

    def globals(self) -> Json:
        """The global extra vars."""
        return self._get("/info/globals")

    def set_globals(self, extra_vars: dict[str, Any]) -> Json:
        """Replace the global extra vars."""
        return self._post("/globals", {"extra_vars": extra_vars})

    def config(self) -> Json:
        """The configuration that the service runs with."""
        return self._get("/config")

    def set_config(self, config: dict[str, Any]) -> Json:
        """Change the configuration that the service runs with."""
        return self._post("/config", {"config": config})

    def _get(self, path: str, *, see: str = "", **params: str | int | Sequence[str] | None) -> Json:
        deadline = time.monotonic() + _RETRY_TIMEOUT_S
        while True:
            with self._faults():
                response = self._http.get(path, params=_given(params))
            pause = _retry_after(response)
            if not pause or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        self._check(response, "application/json", see=see)
        return self._parse(response.content)

    def _begin(self, path: str, body: Json, *, see: str = "") -> Json:
        """Send a request about a job with a key, by which the service knows it when it comes again."""
        return self._post(path, body, see=see, headers={"Idempotency-Key": str(uuid4())})

    def _post(
        self,
        path: str,
        body: Json,
        *,
        see: str = "",
        headers: dict[str, str] | None = None,
        repeatable: bool = True,
    ) -> Json:
        """Send a request; one that does and answers the same when it comes twice again if its connection breaks."""
        retry = Retry(self._note, _RETRY_TIMEOUT_S)
        broken: ConnectionLost | None = None
        while True:
            try:
                with self._faults(_POSSIBLY_STARTED if repeatable else _POSSIBLY_CHANGED):
                    response = self._http.post(path, json=body, headers=headers)
                break
            except ConnectionLost as error:
                if not repeatable:
                    raise
                broken = error
            except Unreachable:
                if broken is None:
                    raise
            retry.wait(broken)
        self._check(response, "application/json", see=see)
        return self._parse(response.content)

    @contextmanager
    def _faults(self, consequence: str = "") -> Iterator[None]:
        """Say what a failed request means."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = "no answer" if isinstance(error, httpx.ConnectTimeout) else str(error)
            self._check_tls(error)
            raise Unreachable(
                f"cannot reach clusterm at {self._url} ({reason}); is it running there? "
                "Start it with `clusterm serve`, or say where it is with --url or CLUSTERM_URL"
            ) from None
        except httpx.TimeoutException:
            raise NoAnswer(f"clusterm at {self._url} does not answer; try again{consequence}") from None
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            reason = str(error).rstrip(".") or "the connection broke"
            self._check_tls(error)
            raise ConnectionLost(
                f"{self._url} hung up, or is not clusterm ({reason}); "
                f"try again, or check --url and CLUSTERM_URL{consequence}"
            ) from None
        except httpx.DecodingError as error:
            raise self._not_clusterm(str(error)) from None

    def _check_tls(self, error: httpx.TransportError) -> None:
        if fault := fault_of_tls(error, self._url, self._certificates):
            raise NotTrusted(fault) from None

    def _check(self, response: httpx.Response, content_type: str, *, see: str) -> None:
        """Refuse an answer that is an error or that clusterm would not give.

        Args:
            response: the answer.
            content_type: what it should be.
            see: what to tell the user if something named does not exist.
        """
        given = response.headers.get("content-type", "").partition(";")[0]
        if response.is_success and given == content_type:
            return
        if response.is_error and given == "application/problem+json":
            problem = read(Problem, self._parse(response.content))
            if response.status_code == httpx.codes.UNAUTHORIZED:
                raise Unauthorized(self._how_to_get_in(problem.detail))
            if response.status_code == httpx.codes.FORBIDDEN:
                raise Refused(problem.detail + _NEW_TOKEN_HINT)
            if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                raise Unavailable(problem.detail)
            raise Refused(problem.detail + (see if response.status_code == httpx.codes.NOT_FOUND else ""))
        raise self._not_clusterm(f"it answered {response.status_code} with {given or 'no content'}")

    def _how_to_get_in(self, detail: str) -> str:
        if self._token is None:
            return f"{self._url} asks for a token: {_LOGIN_HINT}{_NEW_TOKEN_HINT}"
        return f"{detail} (it is from {self._token.origin}); {_LOGIN_HINT}{_NEW_TOKEN_HINT}"

    def _parse(self, text: str | bytes) -> Json:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise self._not_clusterm("it answered with broken JSON") from None
        if not isinstance(answer, dict):
            raise self._not_clusterm("it answered with JSON that is no object")
        return answer

    def _not_clusterm(self, reason: str) -> NotClusterm:
        return NotClusterm(f"{self._url} does not look like clusterm ({reason}); check --url and CLUSTERM_URL")


def _retry_after(response: httpx.Response) -> int:
    """Return the seconds after which to ask again, if the service says that it was asked too often; else 0."""
    given = response.headers.get("retry-after", "")
    asked_too_often = response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return int(given) if asked_too_often and given.isascii() and given.isdigit() else 0


def _segment(text: str) -> str:
    return quote(text, safe="")


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
