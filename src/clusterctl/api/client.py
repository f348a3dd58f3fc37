"""The client: finds the service and its credentials as `clusterctl` does, and groups the methods by noun."""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx

from clusterctl import credentials
from clusterctl.api import following
from clusterctl.api.certificates import Certificates
from clusterctl.api.jobs import Jobs
from clusterctl.api.models import read
from clusterctl.api.nodes import Nodes
from clusterctl.api.rest import RestClient
from clusterctl.api.retry import PrintNote
from clusterctl.api.settings import Config, Globals
from clusterctl.api.tokens import Tokens
from clusterctl.api.urls import DEFAULT_URL, parse_url
from clusterm.enums import EventKind
from clusterm.schemas import (
    Changes,
    Drain,
    Event,
    Health,
    Me,
    Readiness,
    ServiceLog,
    ServiceStatus,
    UiLink,
    Versions,
)

_CONNECT_TIMEOUT_S = 10.0


class Service:
    """The state of a service: `client.service`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def status(self) -> ServiceStatus:
        """Return readiness, jobs, nodes and disk space of the service."""
        return read(ServiceStatus, self._rest.status())

    def versions(self) -> Versions:
        """Return the versions of the service and its dependencies."""
        return read(Versions, self._rest.versions())

    def health(self) -> Health:
        """Return the liveness of the service."""
        return read(Health, self._rest.alive())

    def readiness(self) -> Readiness:
        """Return the readiness of the service.

        Raises:
            Unavailable: the service is not ready.
        """
        return read(Readiness, self._rest.ready())

    def drain_state(self) -> Drain:
        """Return whether the service refuses new jobs, and which jobs run."""
        return read(Drain, self._rest.drain_state())

    def drain(self) -> Drain:
        """Refuse new jobs until `undrain`, and return which jobs run."""
        return read(Drain, self._rest.drain(drained=True))

    def create_ui_link(self) -> UiLink:
        """Return a link that opens the dashboard once, signed in with the token of this client."""
        return read(UiLink, self._rest.create_ui_link())

    def me(self) -> Me:
        """Return the name, role and expiry of the token of this client."""
        return read(Me, self._rest.me())

    def log(self) -> list[str]:
        """Return the latest lines of the service's own log."""
        return read(ServiceLog, self._rest.service_log()).lines

    def undrain(self) -> Drain:
        """Accept new jobs again."""
        return read(Drain, self._rest.drain(drained=False))


class Client:
    """A clusterm service. Connects at the first request; use it in a `with` block, or `close` it.

    Arguments that are not given are found as `clusterctl` finds them. Threads may share a client.

    Args:
        url: URL of the service: `http://host:port`, `https://host:port`, `host:port`, or `unix:/path` of its socket.
            Default: `CLUSTERM_URL`, then `http://127.0.0.1:9007`.
        token: access token. Default: the one in `token_file`, then `CLUSTERM_TOKEN`, then the token that
            `clusterctl login` stored for the URL, then, for a service on this host, the one in its state directory.
        token_file: file with the access token.
        certificates: files for an https service. Default: `CLUSTERM_CACERT`, `CLUSTERM_CERT` and `CLUSTERM_KEY`.
        timeout: seconds that the service may take to respond to a request.
        outage: seconds for which requests are repeated while the service is down, as during its restart.
        note: called with a line of text if a request takes long because the service is down.

    Attributes:
        jobs: jobs.
        nodes: nodes, and actions on them.
        globals: extra vars that every job gets.
        config: configuration of the service.
        service: state of the service.
        tokens: access tokens of the service; for admins.
        rest: one method per route, which returns the JSON that the service sent; not part of the public interface.

    Raises:
        Usage: an argument, a variable or a file is not valid.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: str | None = None,
        certificates: Certificates | None = None,
        timeout: float = 30.0,
        outage: float = 60.0,
        note: PrintNote = lambda _: None,
    ) -> None:
        place = parse_url(url if url is not None else os.environ.get("CLUSTERM_URL") or DEFAULT_URL)
        self.rest = RestClient(
            place,
            note,
            certificates if certificates is not None else _certificates(),
            httpx.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT_S)),
            credentials.given(token, "the argument `token`") if token else credentials.find(place, token_file),
            outage,
        )
        self._note = note
        self.jobs = Jobs(self.rest, note)
        self.nodes = Nodes(self.rest, note)
        self.globals = Globals(self.rest)
        self.config = Config(self.rest)
        self.service = Service(self.rest)
        self.tokens = Tokens(self.rest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.rest.close()

    def timeline(
        self,
        *,
        kinds: Sequence[EventKind] = (EventKind.NODES,),
        node: str | None = None,
        job: int | None = None,
        by: str | None = None,
        failed: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Event]:
        """Yield all events of the cluster, oldest first, from as many pages as there are.

        Args:
            kinds: what the events are about.
            node: only events of this node: name or management address.
            job: only events of the job with this id.
            by: only events of this requester.
            failed: only failures.
            since: only events at or after this time.
            until: only events before this time.
        """
        terms: Any = {"kind": list(kinds), "node": node, "job": job, "by": by, "failed": failed or None}
        ask = partial(self.rest.timeline, since=since, until=until, **terms)
        return (read(Event, event) for event in following.all_events(ask))

    def changes(self, after: int | None = None, *, wait: float = 25.0) -> Changes:
        """Return the id of the newest event: at once, or with `after` when there is a newer one.

        Args:
            after: the id that an earlier call has returned.
            wait: seconds after which the same id is returned again.
        """
        return read(Changes, self.rest.changes(after=after, wait=wait))

    def follow_timeline(
        self,
        *,
        kinds: Sequence[EventKind] = (EventKind.NODES,),
        limit: int = 30,
        node: str | None = None,
        since: datetime | None = None,
    ) -> Iterator[Event]:
        """Yield the last `limit` events of the cluster, then new ones as they happen, without end.

        Args:
            kinds: what the events are about.
            limit: maximum number of past events.
            node: only events of this node: name or management address.
            since: only events at or after this time.
        """
        ask = partial(self.rest.without_outage().timeline, kind=list(kinds), node=node)
        return (read(Event, event) for event in following.events(ask, self._note, limit=limit, since=since))


def _certificates() -> Certificates:
    """Return the certificates that the environment names."""
    return Certificates(*(os.environ.get(f"CLUSTERM_{name}") or None for name in ("CACERT", "CERT", "KEY")))
