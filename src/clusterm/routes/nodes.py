"""Nodes: what they are, what happened to them, and jobs on them."""

from typing import Annotated, Final, Literal

import orjson
from fastapi import Path, Query, Request, Response
from sqlmodel import Session

from clusterm import schemas
from clusterm.enums import Action, JobStatus, State, Status, TokenRole
from clusterm.errors import NotFound
from clusterm.jobs import admission
from clusterm.jobs.plan import preview
from clusterm.jobs.requests import Order, Sender
from clusterm.nodes.explanation import Facts, explain, last_job_event
from clusterm.nodes.selection import select
from clusterm.routes import event_formats
from clusterm.routes.auth import needs
from clusterm.routes.dependencies import (
    AfterEvent,
    Cursor,
    Limit,
    NodeName,
    SenderDep,
    Service,
    ServiceDep,
    Since,
    answer,
    answer_value,
    parse_cursor,
    problems,
    router,
)
from clusterm.store import events, job_views, nodes, tables
from clusterm.store import jobs as job_queries

routes = router("nodes")
EVENTS_SHOWN = 10
"""How many of its latest events a node carries."""
_PAGE: Final = 1000


@routes.get(
    "/info/nodes",
    response_model=dict[str, schemas.Node] | schemas.Page[schemas.Node],
    responses=problems(404, 422),
    summary="List nodes",
)
def list_nodes(
    service: ServiceDep,
    name: Annotated[
        list[str] | None, Query(description="Only these: names, management addresses, or globs as `rack1-*`.")
    ] = None,
    status: Annotated[list[Status] | None, Query(description="Only nodes with one of these statuses.")] = None,
    state: Annotated[list[State] | None, Query(description="Only nodes in one of these states.")] = None,
    host_group: Annotated[list[str] | None, Query(description="Only nodes in one of these host groups.")] = None,
    limit: Annotated[
        int | None, Query(ge=1, le=10_000, description="Answer with a page of so many nodes at the most.")
    ] = None,
    cursor: Cursor = None,
) -> Response:
    """Return nodes, each with its latest event: an object by name or, if `limit` or `cursor` is given, a page.

    A name that is no node's, or a glob that matches none, is an error (404).
    """
    selection = schemas.Selection(status=status or [], state=state or [], host_group=host_group or [], all=not name)
    paged = limit is not None or cursor is not None
    with service.store.read() as session:
        names = _names(session, name or [], selection) if paged or name or selection.narrows else None
        if names is None or not paged:
            every = {name: orjson.Fragment(orjson.dumps(node)) for name, node in nodes.listed(session, names)}
            return answer_value(every)
        rest = sorted(name for name in names if cursor is None or name > cursor)
        page = rest[: limit or _PAGE]
        items = [node for _, node in nodes.listed(session, page)]
    return answer_value({"items": items, "next": page[-1] if len(rest) > len(page) else None})


@routes.get("/info/node/{name}", response_model=schemas.Node, responses=problems(404), summary="Show a node")
def get_node(service: ServiceDep, name: NodeName) -> Response:
    """Return one node with its latest events."""
    bound = service.configuration.current.retention.node_events
    with service.store.read() as session:
        node = nodes.get(session, name)
        return answer(nodes.to_wire(node, events.of_node(session, node.name, bound, limit=EVENTS_SHOWN)))


@routes.get(
    "/info/node/{name}/events",
    response_model=schemas.Page[schemas.Event],
    responses={**event_formats.EVENTS, **problems(400, 404, 422)},
    summary="Show what happened to a node",
)
def list_node_events(
    request: Request,
    service: ServiceDep,
    name: NodeName,
    *,
    accept: event_formats.Accept = "",
    limit: Limit = 100,
    cursor: Cursor = None,
    since: Since = None,
    after: AfterEvent = None,
) -> Response:
    """Return a node's events, newest last. The first page holds the latest ones; `next` leads to older ones.

    Those of a node that was removed are kept, too. To follow them, ask again and again for those `after` the last one
    that you have.
    """
    bound = service.configuration.current.retention.node_events
    before = parse_cursor(cursor)
    with service.store.read() as session:
        try:
            name = nodes.get(session, name).name
        except NotFound:
            if not events.of_node(session, name, bound, limit=1):
                raise
        found = events.of_node(session, name, bound, limit=limit + 1, before=before, since=since, after=after)
    items = found[:limit] if after is not None else found[-limit:]
    older = len(found) > limit and after is None
    page = schemas.Page[schemas.Event](items=items, next=str(items[0].id) if older else None)
    return event_formats.answer_events(request, page, accept)


@routes.get(
    "/info/node/{name}/explain", response_model=schemas.Explanation, responses=problems(404), summary="Explain a node"
)
def explain_node(service: ServiceDep, name: NodeName) -> Response:
    """Return what a node's status and state mean, how it came to them, and what may be done next, or why not."""
    settings = service.configuration.current
    with service.store.read() as session:
        node = nodes.get(session, name)
        past = events.of_node(session, node.name, settings.retention.node_events, limit=settings.retention.node_events)
        running = job_queries.history(session, limit=1, node=node.name, status=JobStatus.RUNNING)
        queued = job_queries.history(session, limit=100, node=node.name, status=JobStatus.QUEUED)
        ended = last_job_event(past)
        job = running[0] if running else session.get(tables.Job, ended.job) if ended else None
        facts = Facts(
            address=node.address,
            label=node.label,
            serial=node.serial,
            cluster=admission.members(nodes.candidates(session)),
            events=past,
            job=job_views.to_wire(session, job) if job else None,
            waiting=[each.id for each in reversed(queued)],
            refused=admission.obstacle(session, [node.name], max_active=settings.manager.max_active_jobs),
            groups=settings.ansible.host_groups,
        )
        return answer(explain(node.name, facts))


@routes.post(
    "/commission/nodes",
    response_model=schemas.Job,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Commission nodes",
)
def commission(service: ServiceDep, sender: SenderDep, body: schemas.NodesRequest) -> Response:
    """Bring nodes into the cluster: run the configure playbook; if it fails, the cleanup playbook."""
    return _begin(service, sender, _order(Action.COMMISSION, body), queue=body.queue)


@routes.post(
    "/decommission/nodes",
    response_model=schemas.Job,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Decommission nodes",
)
def decommission(service: ServiceDep, sender: SenderDep, body: schemas.NodesRequest) -> Response:
    """Take nodes out of the cluster: run the cleanup playbook."""
    return _begin(service, sender, _order(Action.DECOMMISSION, body), queue=body.queue)


@routes.post(
    "/update/nodes",
    response_model=schemas.Job,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Update nodes",
)
def update(service: ServiceDep, sender: SenderDep, body: schemas.NodesRequest) -> Response:
    """Run the cleanup and the configure playbook on nodes of the cluster; if the latter fails, cleanup once more."""
    return _begin(service, sender, _order(Action.UPDATE, body), queue=body.queue)


@routes.post(
    "/plan/{action}/nodes",
    response_model=schemas.Plan,
    responses=problems(400, 413, 415, 422),
    openapi_extra=needs(TokenRole.VIEWER),  # it only looks
    summary="Show what a request would do",
)
def plan(
    service: ServiceDep,
    action: Annotated[
        Literal[Action.COMMISSION, Action.DECOMMISSION, Action.UPDATE], Path(description="What to do to the nodes.")
    ],
    body: schemas.NodesRequest,
) -> Response:
    """Return what the same body sent to `/{action}/nodes` would do, and why it would be refused. Nothing changes."""
    with service.store.read() as session:
        return answer(preview(session, service.configuration.current, _order(action, body), queue=body.queue))


@routes.post(
    "/discover/nodes",
    response_model=schemas.Job,
    responses=problems(400, 409, 413, 415, 422),
    summary="Discover nodes",
)
def discover(service: ServiceDep, sender: SenderDep, body: schemas.DiscoverRequest) -> Response:
    """Run the configure playbook on addresses that are no node's, in the inventory group `cluster-node`.

    Those that pass become nodes, called by their host name and serial, unless `ansible.register_discovered` is off.
    """
    order = Order(
        Action.DISCOVER,
        body.addrs,
        extra_vars=body.extra_vars,
        job_timeout=body.job_timeout,
        idle_timeout=body.idle_timeout,
    )
    return _begin(service, sender, order, queue=body.queue)


def _names(session: Session, targets: list[str], selection: schemas.Selection) -> list[str]:
    """Return the names of the selected nodes; none is no error, unless they were named."""
    selected = select(targets, selection, nodes.candidates(session))
    if targets and selected.refusals:
        raise selected.refusals[0]
    return selected.names


def _order(action: Action, body: schemas.NodesRequest) -> Order:
    return Order(
        action,
        body.nodes,
        select=body.select,
        host_group=body.host_group,
        extra_vars=body.extra_vars,
        check=body.check,
        limit_batch=body.limit_batch,
        job_timeout=body.job_timeout,
        idle_timeout=body.idle_timeout,
    )


def _begin(service: Service, sender: Sender, order: Order, *, queue: bool) -> Response:
    job = admission.begin(service.store, service.configuration.current, order, sender, queue=queue)
    service.supervisor.wake()
    return answer(job)
