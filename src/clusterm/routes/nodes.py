"""Nodes: what they are, what happened to them, and jobs on them."""

from fastapi import Response

from clusterm import jobs, schemas
from clusterm.errors import NotFound
from clusterm.jobs import Order, Sender
from clusterm.routes.service import (
    Cursor,
    Limit,
    NodeName,
    SenderDep,
    Service,
    ServiceDep,
    answer,
    answer_value,
    parse_cursor,
    problems,
    router,
)
from clusterm.states import Action
from clusterm.store import events, nodes

routes = router("nodes")
EVENTS_SHOWN = 10
"""How many of its latest events a node carries."""


@routes.get("/info/nodes", response_model=dict[str, schemas.Node], responses=problems(), summary="List all nodes")
def list_nodes(service: ServiceDep) -> Response:
    """Return every node, by name, each with its latest event."""
    with service.store.read() as session:
        latest = events.latest_by_node(session)
        every = [
            nodes.to_wire(node, [latest[node.name]] if node.name in latest else []) for node in nodes.every(session)
        ]
    return answer_value({node.inventory_state.name: node.model_dump(mode="json") for node in every})


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
    responses=problems(400, 404, 422),
    summary="Show what happened to a node",
)
def list_node_events(service: ServiceDep, name: NodeName, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Return a node's events, newest last. The first page holds the latest ones; `next` leads to older ones.

    Those of a node that was removed are kept, too.
    """
    bound = service.configuration.current.retention.node_events
    before = parse_cursor(cursor)
    with service.store.read() as session:
        try:
            name = nodes.get(session, name).name
        except NotFound:
            if not events.of_node(session, name, bound, limit=1):
                raise
        found = events.of_node(session, name, bound, limit=limit + 1, before=before)
    items = found[-limit:]
    return answer(schemas.Page(items=items, next=str(items[0].id) if len(found) > limit else None))


@routes.post(
    "/commission/nodes",
    response_model=schemas.Job,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Commission nodes",
)
def commission(service: ServiceDep, sender: SenderDep, body: schemas.NodesRequest) -> Response:
    """Bring nodes into the cluster: run the configure playbook; if it fails, the cleanup playbook."""
    return _begin(service, sender, Action.COMMISSION, body.nodes, body, body.host_group)


@routes.post(
    "/decommission/nodes",
    response_model=schemas.Job,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Decommission nodes",
)
def decommission(service: ServiceDep, sender: SenderDep, body: schemas.NodesRequest) -> Response:
    """Take nodes out of the cluster: run the cleanup playbook."""
    return _begin(service, sender, Action.DECOMMISSION, body.nodes, body, body.host_group)


@routes.post(
    "/update/nodes",
    response_model=schemas.Job,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Update nodes",
)
def update(service: ServiceDep, sender: SenderDep, body: schemas.NodesRequest) -> Response:
    """Run the cleanup and the configure playbook on nodes of the cluster; if the latter fails, cleanup once more."""
    return _begin(service, sender, Action.UPDATE, body.nodes, body, body.host_group)


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
    return _begin(service, sender, Action.DISCOVER, body.addrs, body)


def _begin(
    service: Service, sender: Sender, action: Action, targets: list[str], body: schemas.JobRequest, host_group: str = ""
) -> Response:
    order = Order(
        action,
        targets,
        host_group=host_group,
        extra_vars=body.extra_vars,
        job_timeout=body.job_timeout,
        idle_timeout=body.idle_timeout,
    )
    settings = service.configuration.current
    job = jobs.begin(
        service.store,
        order,
        sender,
        max_active=settings.manager.max_active_jobs,
        queue=body.queue,
        groups=settings.ansible.host_groups,
    )
    service.supervisor.wake()
    return answer(job)
