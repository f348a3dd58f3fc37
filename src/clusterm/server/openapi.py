"""The OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI

from clusterm.routes import auth
from clusterm.routes.dependencies import problem_responses
from clusterm.schemas import LogEnd, LogLine, Problem

DESCRIPTION: Final = """Runs ansible jobs on the nodes of a cluster, and keeps what happened, to which node, in what
order, and why it failed. Start with the timeline: `GET /info/jobs/timeline`."""

TAGS: Final = [
    {"name": "nodes", "description": "What nodes there are, what happened to them, and jobs on them."},
    {"name": "jobs", "description": "What runs and what ran, with logs, and the timeline of the cluster."},
    {"name": "monitoring", "description": "Where monitoring reports nodes."},
    {"name": "settings", "description": "Extra vars for every job, the configuration, and draining."},
    {"name": "health", "description": "For load balancers and container engines."},
]


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Describe the API, with what FastAPI cannot know: tokens, the shape of errors, and of the lines of a stream."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for model in (Problem, LogLine, LogEnd):
            schemas[model.__name__] = model.model_json_schema(
                mode="serialization", ref_template="#/components/schemas/{model}"
            )
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # answered as a problem, where it can happen
        for operation in (about for path in document["paths"].values() for about in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if operation["security"]:
                refusals = {
                    str(status): problem
                    for status, problem in problem_responses(401, 403, 429).items()
                    if status != 503
                }
                operation["responses"] = dict(sorted((refusals | operation["responses"]).items()))
        document["components"]["securitySchemes"] = auth.SCHEMES
    return app.openapi_schema or {}
