"""Changing nodes without a job: host group, host vars, name; importing and removing them."""

from fastapi import Response

from clusterm import schemas
from clusterm.nodes import changes as node_changes
from clusterm.routes.dependencies import NodeName, SenderDep, Service, ServiceDep, answer, problems, router
from clusterm.schemas import ImportAnswer, ImportRequest, RemoveRequest, RenameRequest, SetRequest
from clusterm.store import events, nodes

routes = router("nodes")


@routes.post(
    "/node/{name}/set",
    response_model=schemas.Node,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Set a node's host group and host vars",
)
def set_node(service: ServiceDep, sender: SenderDep, name: NodeName, body: SetRequest) -> Response:
    """Change what ansible is told of a node by the jobs that begin from now on. Nothing is run.

    The host group of a node that is part of the cluster is changed by an update. A value sent back masked, as it is
    shown, stays what it is.
    """
    settings = service.configuration.current
    groups, seal = settings.ansible.host_groups, settings.seal
    return _show(service, node_changes.change(service.store, settings.retention, name, body, sender.name, groups, seal))


@routes.post(
    "/node/{name}/rename",
    response_model=schemas.Node,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Rename a node",
)
def rename_node(service: ServiceDep, sender: SenderDep, name: NodeName, body: RenameRequest) -> Response:
    """Call a node something else. Its history goes with it; the logs of its jobs keep the name that it had.

    Monitoring has to call it so, too, or it will report the old name as another node at the same address.
    """
    settings = service.configuration.current
    groups = settings.ansible.host_groups
    return _show(service, node_changes.rename(service.store, settings.retention, name, body, sender.name, groups))


@routes.post(
    "/node/{name}/remove",
    response_model=schemas.Node,
    responses=problems(400, 404, 409, 413, 415, 422),
    summary="Remove a node",
)
def remove_node(service: ServiceDep, sender: SenderDep, name: NodeName, body: RemoveRequest | None = None) -> Response:
    """Forget a node, and return it as it was. Its events are kept.

    It must be no part of the cluster, unless forced, and in no job. Nothing is run on it.
    """
    retention = service.configuration.current.retention
    force = body is not None and body.force
    return answer(node_changes.remove(service.store, retention, name, sender.name, force=force))


@routes.post(
    "/import/nodes",
    response_model=ImportAnswer,
    responses=problems(400, 413, 415, 422),
    summary="Import nodes of an inventory",
)
def import_nodes(service: ServiceDep, sender: SenderDep, body: ImportRequest) -> Response:
    """Make nodes known. One that exists, or cannot be one, is skipped, and the answer says why."""
    settings = service.configuration.current
    groups, seal = settings.ansible.host_groups, settings.seal
    return answer(node_changes.import_nodes(service.store, settings.retention, body, sender.name, groups, seal))


def _show(service: Service, name: str) -> Response:
    bound = service.configuration.current.retention.node_events
    with service.store.read() as session:
        return answer(nodes.to_wire(nodes.get(session, name), events.of_node(session, name, bound, limit=1)))
