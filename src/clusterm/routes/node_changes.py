"""Routes that change nodes without a job: host group, host vars, name, import and removal."""

from fastapi import Response

from clusterm import schemas
from clusterm.nodes import changes as node_changes
from clusterm.nodes import imports
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
    """Change a node's host group and host vars for future jobs, without running a job.

    The host group of a node that is part of the cluster can only be changed by an update. A masked value, sent back as
    received, is unchanged.
    """
    settings = services.live_settings.current
    ansible, cipher = settings.ansible, settings.cipher
    changed = node_changes.change(
        services.store,
        name,
        body,
        requester.name,
        ansible.host_groups,
        cipher,
        ansible.request_vars_allowed,
    )
    return _show(services, changed)


@routes.post(
    "/node/{name}/rename",
    response_model=schemas.Node,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Rename a node",
)
def rename_node(services: ServicesDep, requester: RequesterDep, name: NodeName, body: RenameRequest) -> Response:
    """Change a node's name. Its history moves to the new name; the logs of its jobs keep the old name.

    Monitoring must use the new name, too. Otherwise it reports the old name as another node at the same address.
    """
    settings = services.live_settings.current
    groups = settings.ansible.host_groups
    return _show(services, node_changes.rename(services.store, name, body, requester.name, groups))


@routes.post(
    "/node/{name}/remove",
    response_model=schemas.Node,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Remove a node",
)
def remove_node(
    services: ServicesDep, requester: RequesterDep, name: NodeName, body: RemoveRequest | None = None
) -> Response:
    """Delete a node, and return its last state. Its events are kept.

    The node must not be in a job, and must not be part of the cluster unless `force` is set. No job is run on the node.
    """
    force = body is not None and body.force
    return json_response(node_changes.remove(services.store, name, requester.name, force=force))


@routes.post(
    "/import/nodes",
    response_model=ImportAnswer,
    responses=problem_responses(400, 413, 415, 422),
    summary="Import nodes of an inventory",
)
def import_nodes(services: ServicesDep, requester: RequesterDep, body: ImportRequest) -> Response:
    """Register the nodes of an inventory. Existing and invalid nodes are skipped, with the reason in the response.

    Host vars that clients may not set (`ansible.request_vars_allowed`) are left out, and named in the response.
    """
    settings = services.live_settings.current
    ansible, cipher = settings.ansible, settings.cipher
    answer = imports.import_nodes(
        services.store,
        body,
        requester.name,
        ansible.host_groups,
        cipher,
        ansible.request_vars_allowed,
    )
    return json_response(answer)


def _show(services: Services, name: str) -> Response:
    bound = services.live_settings.current.retention.node_events
    with services.store.read() as session:
        return json_response(nodes.to_wire(nodes.get(session, name), events.of_node(session, name, bound, limit=1)))
