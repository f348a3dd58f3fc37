"""Generate the OpenAPI document."""

import json
import re
from typing import Any, Final

from fastapi import FastAPI

from clusterm.routes import auth
from clusterm.routes.dependencies import problem_responses
from clusterm.schemas import LogEnd, LogLine, Problem
from clusterm.server.api_version import V1

DESCRIPTION: Final = """Runs ansible jobs on the nodes of a cluster, and records events, logs and the causes of
failures. Start with the timeline: `GET /v1/info/jobs/timeline`. Each path is also valid without `/v1`."""

TAGS: Final = [
    {"name": "nodes", "description": "Nodes: list, history, changes, and jobs on them."},
    {"name": "jobs", "description": "Current and past jobs with their logs, and the timeline of the cluster."},
    {"name": "monitoring", "description": "Reports of monitoring systems about nodes."},
    {"name": "settings", "description": "Globals, configuration and draining."},
    {"name": "access", "description": "The requester's own identity, and the tokens of the service."},
    {"name": "dashboard", "description": "The dashboard at `/ui/`, which is for browsers; its pages are no API."},
    {"name": "health", "description": "Health and metrics, for load balancers, container engines and Prometheus."},
]


SERVERS: Final = [{"url": "./", "description": "The service that this document comes from."}]
"""Relative to the document, so that it is right at any address, and below any path of a proxy."""


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's document, completed by tokens, error responses and the records of streams."""
    if app.openapi_schema is None:
        # pydantic names a page of jobs Page[Job], and its schema Page_Job_.
        document = json.loads(re.sub(r"Page(?:_(\w+)_|\[(\w+)\])", r"\1\2Page", json.dumps(FastAPI.openapi(app))))
        document["paths"] = {f"{V1}{path}": operations for path, operations in document["paths"].items()}
        schemas = document["components"]["schemas"]
        for model in (Problem, LogLine, LogEnd):
            schemas[model.__name__] = model.model_json_schema(
                mode="serialization", ref_template="#/components/schemas/{model}"
            )
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # clusterm responds with a Problem instead
        for operation in (about for path in document["paths"].values() for about in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if operation["security"]:
                refusals = {
                    str(status): problem
                    for status, problem in problem_responses(401, 403, 422, 429).items()
                    if status != 503
                }
                operation["responses"] = dict(sorted((refusals | operation["responses"]).items()))
        document["components"]["securitySchemes"] = auth.SCHEMES
        app.openapi_schema = document
    return app.openapi_schema
