"""The routes of the REST API: one method per route, each returning the JSON that the service sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from clusterctl.api.certificates import Certificates
from clusterctl.api.models import Json, Lines, format_optional_time, without_none
from clusterctl.api.retry import PrintNote
from clusterctl.credentials import Token

if TYPE_CHECKING:
    import httpx

_NODES_HINT: Final = "; list the nodes with: clusterctl nodes get"
_JOBS_HINT: Final = "; list the jobs with: clusterctl job list"


class RestClient:
    """A clusterm service.

    Args:
        url: base URL of the service, as `urls.parse_url` returns it.
        note: prints why a request takes long.
        certificates: for a URL that begins with https.
        timeout: how long the service may take to respond; a number is seconds; None for the default.
        token: sent to this service only.
        outage: seconds for which requests are repeated while the service is down, as during its restart; 0 for not.
    """

    def __init__(
        self,
        url: str,
        note: PrintNote,
        certificates: Certificates = Certificates(),  # noqa: B008 -- it is immutable
        timeout: httpx.Timeout | float | None = None,
        token: Token | None = None,
        outage: float = 0,
    ) -> None:
        from clusterctl.api.transport import HttpTransport  # noqa: PLC0415 -- with httpx, slow to load

        self._http = HttpTransport(url, note, certificates, timeout, token, outage)
        self.parting: str | None = None
        """What to print if the user interrupts the wait for a job's end."""

    def without_outage(self) -> RestClient:
        """Return a client over the same connections for callers that wait for the service themselves."""
        other = copy(self)
        other._http = self._http.without_outage()  # noqa: SLF001 -- of this class
        return other

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def nodes(self, names: Sequence[str] = (), **filters: Sequence[str] | str | None) -> Json:
        """Return nodes by name.

        Args:
            names: of the nodes; empty for all.
            filters: query parameters of the route.
        """
        return self._http.get("/info/nodes", name=names, **filters, hint=_NODES_HINT)

    def node_page(self, *, limit: int, cursor: str | None, **filters: Sequence[str] | str | None) -> Json:
        """Return a page of nodes by name.

        Args:
            limit: maximum number of nodes.
            cursor: `next` of the previous page.
            filters: the other query parameters of the route.
        """
        return self._http.get("/nodes", limit=limit, cursor=cursor, **filters, hint=_NODES_HINT)

    def node_states(self, *, since: datetime | None, until: datetime | None, text: str | None) -> Json:
        """Return the statuses and states of nodes over time."""
        return self._http.get(
            "/info/nodes/states", since=format_optional_time(since), until=format_optional_time(until), q=text
        )

    def node(self, name: str) -> Json:
        """Return a node."""
        return self._http.get(f"/info/node/{_segment(name)}", hint=_NODES_HINT)

    def node_events(
        self,
        name: str,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        after: int | None = None,
    ) -> Json:
        """Return a page of a node's events: the latest ones, or the first ones after the event with the id `after`."""
        path = f"/info/node/{_segment(name)}/events"
        return self._http.get(
            path, limit=limit, cursor=cursor, since=format_optional_time(since), after=after, hint=_NODES_HINT
        )

    def explanation(self, name: str) -> Json:
        """Return the explanation of a node's status and state."""
        return self._http.get(f"/info/node/{_segment(name)}/explain", hint=_NODES_HINT)

    def start(self, action: str, nodes: list[str], **members: Any) -> Json:
        """Start a job on nodes, and return the job.

        Args:
            action: commission, decommission or update.
            nodes: names or management addresses.
            members: the other members of `schemas.NodesRequest`; members that are None are omitted.
        """
        body = {"nodes": nodes, **without_none(members)}
        return self._http.post_with_key(f"/{action}/nodes", body, hint=_NODES_HINT)

    def plan(self, action: str, nodes: list[str], **members: Any) -> Json:
        """Return what `start` would do with the same arguments."""
        body = {"nodes": nodes, **without_none(members)}
        return self._http.post(f"/plan/{_segment(action)}/nodes", body, hint=_NODES_HINT)

    def run(self, action: str, nodes: list[str], **members: Any) -> Json:
        """Start a job with any action on nodes, and return the job; for the arguments see `start`."""
        body = {"nodes": nodes, **without_none(members)}
        return self._http.post_with_key(f"/action/{_segment(action)}/nodes", body, hint=_NODES_HINT)

    def actions(self) -> Json:
        """Return all actions on nodes."""
        return self._http.get("/info/actions")

    def action(self, name: str) -> Json:
        """Return an action on nodes."""
        return self._http.get(f"/info/action/{_segment(name)}")

    def discover(self, addrs: list[str], **members: Any) -> Json:
        """Start a job that runs the configure playbook on addresses, and return the job.

        Args:
            addrs: IP addresses or host names.
            members: the other members of `schemas.DiscoverRequest`; members that are None are omitted.
        """
        return self._http.post_with_key("/discover/nodes", {"addrs": addrs, **without_none(members)})

    def retry(self, job: str, **members: Any) -> Json:
        """Start a job again that has ended, and return the new job.

        Args:
            job: `last` or an id.
            members: the members of `schemas.RetryRequest`.
        """
        return self._http.post_with_key(f"/job/{_segment(job)}/retry", members, hint=_JOBS_HINT)

    def plan_retry(self, job: str, **members: Any) -> Json:
        """Return what `retry` would do."""
        return self._http.post(f"/plan/job/{_segment(job)}/retry", members, hint=_JOBS_HINT)

    def cancel(self, job: int, *, cleanup: bool) -> Json:
        """Cancel a job, and return it. Takes an id, because `active` may be another job when the request is retried."""
        return self._http.post_with_key(f"/job/{job}/cancel", {"cleanup": cleanup}, hint=_JOBS_HINT)

    def announce(self, label: str, serial: str, addr: str) -> Json:
        """Report a node as discovered, as monitoring does, and return the node by its name."""
        return self.report("discovered", [{"label": label, "serial": serial, "addr": addr}])

    def report(self, event: str, nodes: Sequence[Json]) -> Json:
        """Report nodes as discovered or disappeared, and return them by name."""
        return self._http.post("/monitor/event", {"monitor_event": {"name": event, "nodes": list(nodes)}})

    def set_node(self, name: str, *, host_group: str, host_vars: dict[str, Any]) -> Json:
        """Set a node's host group and host vars, and return the node."""
        body = {"host_group": host_group, "vars": host_vars}
        return self._http.post(f"/node/{_segment(name)}/set", body, hint=_NODES_HINT)

    def set_host_keys(self, name: str, keys: Sequence[str]) -> Json:
        """Replace a node's host keys, and return the known and the forgotten ones."""
        return self._change_node(name, "host-keys", {"keys": list(keys)})

    def rename_node(self, name: str, new: str) -> Json:
        """Rename a node, and return it."""
        return self._change_node(name, "rename", {"name": new})

    def remove_node(self, name: str, *, force: bool) -> Json:
        """Remove a node, and return its last state."""
        return self._change_node(name, "remove", {"force": force})

    def import_nodes(self, nodes: list[Json], groups: dict[str, str], *, dry_run: bool) -> Json:
        """Add nodes, and return the outcome for each."""
        body = {"nodes": nodes, "map": groups, "dry_run": dry_run}
        return self._http.post("/import/nodes", body, repeatable=False)

    def job(self, job: str, *, logs: bool) -> Json:
        """Return a job by its id, `active` or `last`."""
        return self._http.get(f"/info/job/{_segment(job)}", logs=logs, hint=_JOBS_HINT)

    def tasks(self, job: int, *, node: str | None, status: str | None, task: str | None) -> Json:
        """Return all tasks of a job with their results, as one page."""
        items: list[Json] = []
        cursor = None
        while True:
            page = self._http.get(
                f"/info/job/{job}/tasks",
                node=node,
                status=status,
                task=task,
                limit=1000,
                cursor=cursor,
                hint=_JOBS_HINT,
            )
            items += page.get("items", [])
            cursor = page.get("next")
            if cursor is None:
                return {"items": items, "next": None}

    def grid(self, job: int) -> Json:
        """Return the results of a job as a grid, with all nodes."""
        grid: Json = {}
        cursor = None
        while True:
            page = self._http.get(f"/info/job/{job}/grid", limit=10_000, cursor=cursor, hint=_JOBS_HINT)
            if not grid:
                grid = page
            else:
                grid = {**page, "nodes": grid["nodes"] + page["nodes"], "rows": grid["rows"] + page["rows"]}
            cursor = page.get("next")
            if cursor is None:
                return grid

    def log_matches(self, job: int, lines: Lines, *, after: int) -> Json:
        """Return the numbers of the lines of a job's log, after a line, that match all conditions."""
        conditions = {
            name: value
            for name, value in lines.parameters().items()
            if name in {"node", "task", "failed", "grep", "ignore_case"}
        }
        return self._http.get(f"/info/logs/{job}/matches", after=after, **conditions, hint=_JOBS_HINT)

    def compare(self, before: str, after: str) -> Json:
        """Return the differences between two jobs, each given by its id, `active` or `last`."""
        return self._http.get(f"/info/job/{_segment(before)}/diff/{_segment(after)}", hint=_JOBS_HINT)

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
        """Return a page of jobs, newest first."""
        return self._http.get(
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
        self, *, limit: int, since: datetime | None = None, until: datetime | None = None, **terms: Any
    ) -> Json:
        """Return the last events of the timeline, or the first ones after the event with the id `after`.

        Args:
            limit: the most to return.
            since: only events at or after this time.
            until: only events before this time.
            terms: the other query parameters of the route.
        """
        terms |= {"since": format_optional_time(since), "until": format_optional_time(until)}
        return self._http.get("/info/jobs/timeline", limit=limit, **terms)

    def changes(self, *, after: int | None, wait: float) -> Json:
        """Return the id of the newest event, with `after` when it is greater or `wait` seconds are over."""
        return self._http.get("/info/changes", after=after, wait=str(wait))

    def log_lines(
        self, job: int, lines: Lines, *, follow: bool = False, silence: float | None = None
    ) -> Iterator[Json]:
        """Yield lines of a job's log as they arrive; with `follow` a `LogEnd` comes last.

        Raises:
            NoAnswer: nothing arrived within `silence` seconds.
        """
        return self._http.stream(
            f"/info/logs/{job}", **lines.parameters(), follow=follow, silence=silence, hint=_JOBS_HINT
        )

    def service_log(self) -> Json:
        """Return the latest lines of the service's own log."""
        return self._http.get("/info/service-log")

    def versions(self) -> Json:
        """Return the versions of the service and its dependencies."""
        return self._http.get("/info/version")

    def alive(self, timeout: float = 30.0) -> Json:
        """Return the liveness of the service, which has `timeout` seconds to answer."""
        return self._http.get_within("/healthz", timeout)

    def ready(self) -> Json:
        """Return the readiness of the service.

        Raises:
            Unavailable: the service is not ready.
        """
        return self._http.get("/readyz")

    def status(self) -> Json:
        """Return the status of the service."""
        return self._http.get("/info/status")

    def drain_state(self) -> Json:
        """Return whether the service is drained, and which jobs run."""
        return self._http.get("/info/drain")

    def drain(self, *, drained: bool) -> Json:
        """Refuse new jobs, or accept them again, and return which jobs run."""
        return self._http.post(f"/manager/{'drain' if drained else 'undrain'}", None)

    def create_ui_link(self) -> Json:
        """Return a link that opens the dashboard once, signed in."""
        return self._http.post("/ui-links", {})

    def me(self) -> Json:
        """Return the name, role and expiry of the token of this client."""
        return self._http.get("/info/me")

    def tokens(self) -> Json:
        """Return all tokens, the oldest first, as one page."""
        items: list[Json] = []
        cursor = None
        while True:
            page = self._http.get("/tokens", limit=1000, cursor=cursor)
            items += page.get("items", [])
            cursor = page.get("next")
            if cursor is None:
                return {"items": items, "next": None}

    def revoke_token(self, name: str) -> Json:
        """Revoke a token, and return it."""
        hint = "; list the tokens with: clusterctl token list"
        return self._http.post(f"/tokens/{_segment(name)}/revoke", None, hint=hint, repeatable=False)

    def globals(self) -> Json:
        """Return the global extra vars."""
        return self._http.get("/info/globals")

    def set_globals(self, extra_vars: dict[str, Any]) -> Json:
        """Replace the global extra vars, and return them."""
        return self._http.post("/globals", {"extra_vars": extra_vars})

    def config(self) -> Json:
        """Return the configuration of the service."""
        return self._http.get("/config")

    def set_config(self, config: dict[str, Any]) -> Json:
        """Change the configuration of the service, and return it."""
        return self._http.post("/config", {"config": config})

    def _change_node(self, name: str, change: str, body: Json) -> Json:
        return self._http.post(f"/node/{_segment(name)}/{change}", body, hint=_NODES_HINT, repeatable=False)


def _segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")
