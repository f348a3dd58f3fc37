"""Changing nodes without a job: host group, host vars, name; importing and removing them."""

from fastapi import Response

from clusterm import schemas
from clusterm.nodes import changes as node_changes
from clusterm.routes.dependencies import (
    NodeName,
    RequesterDep,
    Router,
    Services,
    ServicesDep,
    json_response,
    problem_responses,
)
from clusterm.schemas import ImportAnswer, ImportRequest, RemoveRequest, RenameRequest, SetRequest
from clusterm.store import events, nodes

routes = Router("nodes")


@routes.post(
    "/node/{name}/set",
    response_model=schemas.Node,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Set a node's host group and host vars",
)
def set_node(services: ServicesDep, requester: RequesterDep, name: NodeName, body: SetRequest) -> Response:
    """Change what ansible is told of a node by the jobs that begin from now on. Nothing is run.

    The host group of a node that is part of the cluster is changed by an update. A value sent back masked, as it is
    shown, stays what it is.
    """
    settings = services.live_settings.current
    groups, cipher = settings.ansible.host_groups, settings.cipher
    return _show(
        services, node_changes.change(services.store, settings.retention, name, body, requester.name, groups, cipher)
    )


@routes.post(
    "/node/{name}/rename",
    response_model=schemas.Node,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Rename a node",
)
def rename_node(services: ServicesDep, requester: RequesterDep, name: NodeName, body: RenameRequest) -> Response:
    """Call a node something else. Its history goes with it; the logs of its jobs keep the name that it had.

    Monitoring has to call it so, too, or it will report the old name as another node at the same address.
    """
    settings = services.live_settings.current
    groups = settings.ansible.host_groups
    return _show(services, node_changes.rename(services.store, settings.retention, name, body, requester.name, groups))


@routes.post(
    "/node/{name}/remove",
    response_model=schemas.Node,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Remove a node",
)
def remove_node(
    services: ServicesDep, requester: RequesterDep, name: NodeName, body: RemoveRequest | None = None
) -> Response:
    """Forget a node, and return it as it was. Its events are kept.

    It must be no part of the cluster, unless forced, and in no job. Nothing is run on it.
    """
    retention = services.live_settings.current.retention
    force = body is not None and body.force
    return json_response(node_changes.remove(services.store, retention, name, requester.name, force=force))


@routes.post(
    "/import/nodes",
    response_model=ImportAnswer,
    responses=problem_responses(400, 413, 415, 422),
    summary="Import nodes of an inventory",
)
def import_nodes(services: ServicesDep, requester: RequesterDep, body: ImportRequest) -> Response:
    """Make nodes known. One that exists, or cannot be one, is skipped, and the answer says why."""
    settings = services.live_settings.current
    groups, cipher = settings.ansible.host_groups, settings.cipher
    return json_response(
        node_changes.import_nodes(services.store, settings.retention, body, requester.name, groups, cipher)
    )


def _show(services: Services, name: str) -> Response:
    bound = services.live_settings.current.retention.node_events
    with services.store.read() as session:
        return json_response(nodes.to_wire(nodes.get(session, name), events.of_node(session, name, bound, limit=1)))
