"""The host keys that are known of nodes."""

from fastapi import Response

from clusterm.nodes import host_keys
from clusterm.routes.dependencies import NodeName, RequesterDep, Router, ServicesDep, json_response, problem_responses
from clusterm.schemas import HostKeysRequest, KnownHostKeys

routes = Router("nodes")


@routes.post(
    "/node/{name}/host-keys",
    response_model=KnownHostKeys,
    responses=problem_responses(400, 404, 413, 415, 422),
    summary="Trust or forget a node's host keys",
)
def set_host_keys(services: ServicesDep, sender: RequesterDep, name: NodeName, body: HostKeysRequest) -> Response:
    """Say which ssh host keys a node has, in the place of those that are known, or that none is known any more.

    Jobs that begin from now on accept no others. Nothing is run. The name may also be an IP address that is no node's
    yet, for a discover job.
    """
    retention = services.live_settings.current.retention
    return json_response(host_keys.replace(services.store, retention, name, body.keys, sender.name))
