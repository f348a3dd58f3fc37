"""Route of the trusted host keys of nodes."""

from fastapi import Response

from clusterm.nodes import host_keys
from clusterm.routes.dependencies import NodeName, RequesterDep, Router, ServicesDep, json_response, problem_responses
from clusterm.schemas import HostKeysRequest, KnownHostKeys

routes = Router("nodes")


@routes.post(
    "/node/{name}/host-keys",
    response_model=KnownHostKeys,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Trust or forget a node's host keys",
)
def set_host_keys(services: ServicesDep, sender: RequesterDep, name: NodeName, body: HostKeysRequest) -> Response:
    """Replace a node's trusted ssh host keys, or remove all of them.

    Future jobs accept no other keys. No job is run. The name can also be an IP address without a node, for a discover
    job; a port other than 22 follows it, as in `10.0.0.1:2201`.
    """
    return json_response(host_keys.replace(services.store, name, body.keys, sender.name))
