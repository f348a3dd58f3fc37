"""Route of the metrics for Prometheus."""

from fastapi import Response

from clusterm.observability.metrics import CONTENT_TYPE
from clusterm.routes.dependencies import Router, ServicesDep

routes = Router("health")


@routes.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Metrics in Prometheus' text format.",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": 'clusterm_jobs{status="Running"} 1.0\n'}
            },
        }
    },
    summary="Show metrics for Prometheus",
)
def get_metrics(services: ServicesDep) -> Response:
    """Return metrics of jobs, nodes, logs, the store and requests."""
    return Response(services.metrics.write(), media_type=CONTENT_TYPE)
