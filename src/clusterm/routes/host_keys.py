"""The host keys that are known of nodes."""

from fastapi import Response

from clusterm.nodes import host_keys
from clusterm.routes.dependencies import NodeName, SenderDep, ServiceDep, answer, problems, router
from clusterm.schemas import HostKeysRequest, KnownHostKeys

routes = router("nodes")


@routes.post(
    "/node/{name}/host-keys",
    response_model=KnownHostKeys,
    responses=problems(400, 404, 413, 415, 422),
    summary="Trust or forget a node's host keys",
)
def set_host_keys(service: ServiceDep, sender: SenderDep, name: NodeName, body: HostKeysRequest) -> Response:
    """Say which ssh host keys a node has, in the place of those that are known, or that none is known any more.

    Jobs that begin from now on accept no others. Nothing is run. The name may also be an IP address that is no node's
    yet, for a discover job.
    """
    retention = service.configuration.current.retention
    return answer(host_keys.replace(service.store, retention, name, body.keys, sender.name))
