"""Route for reports of monitoring systems."""

from fastapi import Response

from clusterm import schemas
from clusterm.monitoring.reports import report
from clusterm.routes.dependencies import Router, ServicesDep, problem_responses, value_response
from clusterm.store import nodes

routes = Router("monitoring")


@routes.post(
    "/monitor/event",
    response_model=dict[str, schemas.Node],
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Report nodes as discovered or disappeared",
)
def post_event(services: ServicesDep, body: schemas.MonitorRequest) -> Response:
    """Store a report of a monitoring system. The first report of a node as discovered registers the node.

    Returns the nodes, by name, after the report.
    """
    names = report(services.store, services.live_settings.current, body.monitor_event)
    with services.store.read() as session:
        reported = [nodes.to_wire(node, []) for node in nodes.by_names(session, names)]
    return value_response({node.inventory_state.name: node.model_dump(mode="json") for node in reported})
