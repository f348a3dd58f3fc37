"""Route for reports of monitoring systems."""

from typing import Any

from fastapi import Response

from clusterm import schemas
from clusterm.monitoring.reports import report
from clusterm.routes.dependencies import Router, ServicesDep, problem_responses, value_response
from clusterm.store import nodes

routes = Router("monitoring")


@routes.post(
    "/monitor/event",
    response_model=schemas.MonitorAnswer,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Report nodes as discovered or disappeared",
)
def report_nodes(services: ServicesDep, body: schemas.MonitorRequest) -> Response:
    """Store a report of a monitoring system. The first report of a node as discovered registers the node.

    Returns the nodes, by name, after the report. Nodes that cannot be stored do not affect the other ones; they are
    listed in the member `rejected`, with the reason. The report is rejected as a whole if none can be stored.
    """
    names, rejected = report(services.store, services.live_settings.current, body.monitor_event)
    with services.store.read() as session:
        reported = [nodes.to_wire(node, []) for node in nodes.by_names(session, names)]
    answer: dict[str, Any] = {node.inventory_state.name: node.model_dump(mode="json") for node in reported}
    if rejected:
        answer["rejected"] = [each.model_dump(mode="json") for each in rejected]
    return value_response(answer)
