"""Routes of nodes and of actions on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import orjson
from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator

from clusterm import schemas
from clusterm.common.actions import ACTIONS, NODE_ACTIONS, ActionSpec
from clusterm.enums import Action, JobStatus, State, Status, TokenRole
from clusterm.errors import InvalidRequest, NotFound
from clusterm.jobs import admission
from clusterm.jobs.plan import preview
from clusterm.jobs.requests import JobRequest, Requester
from clusterm.nodes.explanation import ExplanationInput, explain, last_job_event
from clusterm.nodes.selection import select
from clusterm.routes import event_formats
from clusterm.routes.dependencies import (
    AfterEvent,
    Brief,
    Cursor,
    Limit,
    Moment,
    NodeName,
    RequesterDep,
    Router,
    Services,
    ServicesDep,
    Since,
    WithTotal,
    encode_json,
    json_response,
    parse_cursor,
    problem_responses,
    value_response,
)
from clusterm.schemas.base import ActionName
from clusterm.store import definitions, events, job_views, node_states, nodes
from clusterm.store import jobs as job_queries
from clusterm.store.session import Session

routes = Router("nodes")
EVENTS_SHOWN = 10
"""Number of latest events in the response for a node."""
_PAGE: Final = 1000
_PAGES_DEPRECATED: Final = "@1795651200"
"""Value of `Deprecation` (RFC 9745) for pages of /info/nodes: 2026-11-26."""


def _check_on_nodes(action: str) -> str:
    if action == Action.DISCOVER:
        raise ValueError("it does not run on nodes")
    return action


_Names = Annotated[
    list[str] | None,
    Query(alias="name", description="Only these: names, management addresses, or globs as `rack1-*`."),
]
_Statuses = Annotated[list[Status] | None, Query(alias="status", description="Only nodes with one of these statuses.")]
_States = Annotated[list[State] | None, Query(alias="state", description="Only nodes in one of these states.")]
_Groups = Annotated[list[str] | None, Query(alias="host_group", description="Only nodes in one of these host groups.")]
_Text = Annotated[
    str | None,
    Query(
        alias="q",
        max_length=1000,
        description="Only nodes with this text in the name, address or host group, case-insensitive.",
    ),
]
_WithEvents = Annotated[bool, Query(alias="events", description="With the latest event of each node.")]
_Sort = Literal["name", "status", "state", "host_group"]
_NodeLimit = Annotated[int, Query(ge=1, le=10_000, description="Maximum number of items.")]


@dataclass(frozen=True)
class _NodeFilter:
    """The query parameters that select nodes."""

    names: _Names = None
    statuses: _Statuses = None
    states: _States = None
    groups: _Groups = None
    text: _Text = None

    @property
    def narrows(self) -> bool:
        """Whether it can leave nodes out."""
        return bool(self.names or self.statuses or self.states or self.groups or self.text)

    def select(self, session: Session) -> list[nodes.Candidate]:
        """Return the selected nodes, by name.

        Raises:
            RequestRefused: a name is not a node's, or a glob matches no node.
        """
        selection = schemas.NodeSelection(
            status=self.statuses or [], state=self.states or [], host_group=self.groups or [], all=not self.names
        )
        candidates = nodes.candidates(session)
        names = set(_names(self.names or [], selection, candidates))
        return [node for node in candidates if node.name in names and node.contains(self.text or "")]


_NodeFilterDep = Annotated[_NodeFilter, Depends()]


@routes.get(
    "/nodes",
    response_model=schemas.Page[schemas.Node],
    responses=problem_responses(404, 409),
    summary="List nodes",
)
def list_nodes(
    services: ServicesDep,
    wanted: _NodeFilterDep,
    *,
    limit: _NodeLimit = 100,
    cursor: Cursor = None,
    sort: Annotated[_Sort, Query(description="The order; nodes that are equal in it are ordered by name.")] = "name",
    with_total: WithTotal = False,
    with_events: _WithEvents = True,
) -> Response:
    """Return nodes by name, each with its latest event.

    A name that is not a node's, or a glob that matches no node, is an error (404).
    """
    with services.store.read() as session:
        found = wanted.select(session)
        return _page(
            session, found, limit, cursor, sort=sort, total=len(found) if with_total else None, with_events=with_events
        )


@routes.get(
    "/info/nodes",
    response_model=dict[str, schemas.Node],
    responses=problem_responses(404, 409),
    summary="Show nodes as an object",
)
def get_nodes_by_name(
    services: ServicesDep,
    wanted: _NodeFilterDep,
    limit: Annotated[int | None, Query(ge=1, le=10_000, include_in_schema=False)] = None,
    cursor: Annotated[str | None, Query(include_in_schema=False)] = None,
    *,
    with_events: _WithEvents = True,
) -> Response:
    """Return all selected nodes as an object by name, each with its latest event.

    `GET /nodes` returns them in pages.
    """
    with services.store.read() as session:
        if limit is not None or cursor is not None:  # in 0.1.0 this route had pages, too
            response = _page(session, wanted.select(session), limit or _PAGE, cursor, with_events=with_events)
            response.headers["Deprecation"] = _PAGES_DEPRECATED
            return response
        names = [node.name for node in wanted.select(session)] if wanted.narrows else None
        listed = nodes.listed(session, names, with_events=with_events)
        return value_response({name: orjson.Fragment(encode_json(node)) for name, node in listed})


@routes.get(
    "/info/nodes/states",
    response_model=schemas.NodeStates,
    responses=problem_responses(422),
    summary="Show the states of nodes over time",
)
def get_node_states(
    services: ServicesDep,
    since: Annotated[
        Moment | None, Query(description="From this time on (RFC 3339), or date in UTC. Default: a day before `until`.")
    ] = None,
    until: Annotated[Moment | None, Query(description="Up to this time. Default: now.")] = None,
    text: _Text = None,
) -> Response:
    """Return when each node was in which status and state, as far as the events in the store reach.

    Nodes that were removed are left out.
    """
    until = min(until or datetime.now(UTC), datetime.now(UTC))
    since = since or until - timedelta(days=1)
    if since >= until:
        raise InvalidRequest("`since` must be before `until`, and before now")
    with services.store.read() as session:
        return json_response(node_states.read(session, since, until, text or ""))


def _page(
    session: Session,
    found: Sequence[nodes.Candidate],
    limit: int,
    cursor: str | None,
    *,
    sort: _Sort = "name",
    total: int | None = None,
    with_events: bool,
) -> Response:
    """Return a page of the nodes that were found. The cursor is that by which its last node is ordered."""
    places = sorted(node.name if sort == "name" else f"{getattr(node, sort)}/{node.name}" for node in found)
    rest = [place for place in places if cursor is None or place > cursor]
    page = [place.rpartition("/")[2] for place in rest[:limit]]
    listed = dict(nodes.listed(session, page, with_events=with_events))
    following = rest[limit - 1] if len(rest) > len(page) else None
    answer = {"items": [listed[name] for name in page], "next": following}
    return value_response(answer if total is None else {**answer, "total": total})


@routes.get(
    "/info/node/{name}", response_model=schemas.Node, responses=problem_responses(404, 409), summary="Show a node"
)
def get_node(services: ServicesDep, name: NodeName) -> Response:
    """Return one node with its latest events."""
    bound = services.live_settings.current.retention.node_events
    with services.store.read() as session:
        node = nodes.get(session, name)
        return json_response(nodes.to_wire(node, events.of_node(session, node.name, bound, limit=EVENTS_SHOWN)))


@routes.get(
    "/info/node/{name}/events",
    response_model=schemas.Page[schemas.Event],
    responses={**event_formats.EVENTS, **problem_responses(400, 404, 409, 422)},
    summary="Show what happened to a node",
)
def list_node_events(
    request: Request,
    services: ServicesDep,
    name: NodeName,
    *,
    accept: event_formats.Accept = "",
    form: event_formats.Form = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    since: Since = None,
    after: AfterEvent = None,
) -> Response:
    """Return a node's events, newest last. The first page holds the latest ones; `next` leads to older ones.

    Events of a removed node are kept. To follow the events, repeat the request with `after` set to the id of the last
    event that you have.
    """
    bound = services.live_settings.current.retention.node_events
    before = parse_cursor(cursor)
    with services.store.read() as session:
        try:
            name = nodes.get(session, name).name
        except NotFound:
            if not events.of_node(session, name, bound, limit=1):
                raise
        found = events.of_node(session, name, bound, limit=limit + 1, before=before, since=since, after=after)
    return event_formats.events_response(request, event_formats.page(found, limit, after), accept, form)


@routes.get(
    "/info/node/{name}/explain",
    response_model=schemas.Explanation,
    responses=problem_responses(404, 409),
    summary="Explain a node",
)
def explain_node(services: ServicesDep, name: NodeName) -> Response:
    """Return what a node's status and state mean, why it has them, and which commands may follow, or why not."""
    return json_response(read_explanation(services, name))


def read_explanation(services: Services, name: str) -> schemas.Explanation:
    """Return the explanation of a node.

    Raises:
        RequestRefused: no node has the name or address, or several have it.
    """
    settings = services.live_settings.current
    with services.store.read() as session:
        node = nodes.get(session, name)
        past = events.of_node(session, node.name, settings.retention.node_events, limit=settings.retention.node_events)
        running = job_queries.history(session, limit=1, nodes=[node.name], status=JobStatus.RUNNING)
        queued = job_queries.history(session, limit=100, nodes=[node.name], status=JobStatus.QUEUED)
        ended = last_job_event(past)
        job = next(iter(running), None)
        if job is None and ended is not None and ended.job is not None:
            job = job_queries.find(session, ended.job)
        facts = ExplanationInput(
            address=str(node.place),
            label=node.label,
            serial=node.serial,
            cluster={each.name: each for each in nodes.candidates(session)},
            events=past,
            job=job_views.to_wire(session, job) if job else None,
            spec=definitions.of_job(job) if job else None,
            waiting=[each.id for each in reversed(queued)],
            refused=admission.blocking_reason(session, [node.name], max_active=settings.manager.max_active_jobs),
            groups=settings.ansible.host_groups,
            actions=[each.spec(name) for name, each in settings.actions.items() if name not in ACTIONS],
        )
        return explain(node.name, facts)


def _start(spec: ActionSpec) -> Callable[..., Response]:
    """Return the handler of the route that starts jobs with an action on nodes."""

    def start(services: ServicesDep, requester: RequesterDep, body: schemas.NodesRequest) -> Response:
        return _begin(services, requester, _job_request(spec.name, body), queue=body.queue)

    return start


for _spec in NODE_ACTIONS:
    routes.post(
        f"/{_spec.name}/nodes",
        name=f"{_spec.name}_nodes",
        response_model=schemas.Job,
        responses=problem_responses(400, 403, 404, 409, 410, 413, 415, 422, 428),
        summary=_spec.summary,
        description=_spec.description,
    )(_start(_spec))


@routes.post(
    "/plan/{action}/nodes",
    response_model=schemas.Plan,
    responses=problem_responses(400, 404, 413, 415, 422),
    role=TokenRole.VIEWER,  # it only reads
    summary="Show what a request would do",
)
def plan_nodes(
    services: ServicesDep,
    action: Annotated[
        ActionName,
        AfterValidator(_check_on_nodes),
        Path(description="What to do to the nodes: a built-in action on nodes, or one of the site."),
    ],
    body: schemas.NodesRequest,
    *,
    brief: Brief = False,
) -> Response:
    """Return what the same body sent to `/{action}/nodes` would do, and why it would be rejected. Nothing changes."""
    with services.store.read() as session:
        return json_response(
            preview(session, services.live_settings.current, _job_request(action, body), queue=body.queue, brief=brief)
        )


@routes.post(
    "/action/{action}/nodes",
    response_model=schemas.Job,
    responses=problem_responses(400, 403, 404, 409, 410, 413, 415, 422, 428),
    summary="Run an action on nodes",
)
def run_action(
    services: ServicesDep,
    requester: RequesterDep,
    action: Annotated[
        ActionName,
        AfterValidator(_check_on_nodes),
        Path(description="A built-in action on nodes, or one of the site."),
    ],
    body: schemas.NodesRequest,
) -> Response:
    """Start a job with any action on nodes.

    The action may need the role `admin`, and that the number of nodes is confirmed.
    """
    return _begin(services, requester, _job_request(action, body), queue=body.queue)


@routes.post(
    "/discover/nodes",
    response_model=schemas.Job,
    responses=problem_responses(400, 409, 410, 413, 415, 422),
    summary=ACTIONS[Action.DISCOVER].summary,
    description=ACTIONS[Action.DISCOVER].description,
)
def discover_nodes(services: ServicesDep, requester: RequesterDep, body: schemas.DiscoverRequest) -> Response:
    """Start a discover job."""
    request = JobRequest(Action.DISCOVER, body.addrs, extra_vars=body.extra_vars, terms=schemas.JobTerms.of(body))
    return _begin(services, requester, request, queue=body.queue)


def _names(
    targets: list[str], selection: schemas.NodeSelection, candidates: Sequence[nodes.Candidate]
) -> Sequence[str]:
    """Return the names of the selected nodes. An empty result is an error only if nodes were named."""
    selected = select(targets, selection, candidates)
    if targets and selected.refusals:
        raise selected.refusals[0]
    return selected.names


def _job_request(action: str, body: schemas.NodesRequest) -> JobRequest:
    return JobRequest(
        action,
        body.nodes,
        select=body.select,
        host_group=body.host_group,
        extra_vars=body.extra_vars,
        terms=schemas.JobTerms.of(body),
        confirm=body.confirm,
    )


def _begin(services: Services, requester: Requester, request: JobRequest, *, queue: bool) -> Response:
    job = admission.begin(services.store, services.live_settings.current, request, requester, queue=queue)
    services.supervisor.wake()
    return json_response(job)
