"""`clusterctl status`: the state of the service."""

from __future__ import annotations

from functools import partial

import typer

from clusterctl.api.models import Json, read
from clusterctl.context import context_of
from clusterctl.errors import NotReady
from clusterctl.options import AsJson, Output
from clusterctl.output.output import Document, Result
from clusterctl.views.status import status as status_view
from clusterm import schemas


def status(ctx: typer.Context, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Show readiness, jobs, nodes and disk space of the service.

    Exits with 1 if the service is not ready, and says why; with 3 if it cannot be reached.
    """
    answer = context_of(ctx, as_json=as_json, output=output).rest.status()
    return Result([Document(answer, status_view)], then=partial(_check_ready, answer))


def _check_ready(answer: Json) -> Result:
    found = read(schemas.ServiceStatus, answer)
    if not found.ready:
        wrong = [f"{name}: {check.why}" for name, check in found.checks.items() if check.needed and not check.ok]
        raise NotReady(f"the service is not ready: {'; '.join(wrong)}")
    return Result()
