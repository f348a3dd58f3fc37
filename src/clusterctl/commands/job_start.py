"""What commands that start a job on nodes share: which nodes, on which terms, and the result of --dry-run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from clusterctl.api.models import Json, read
from clusterctl.errors import Refused, Usage
from clusterctl.output.output import Document, Result
from clusterctl.views import plan as plan_view
from clusterm import schemas
from clusterm.enums import State, Status


def job_members(terms: Mapping[str, Any]) -> Json:
    """Return the members of a request for a job, without members that have their default.

    Args:
        terms: the fields of `schemas.JobTerms`, and `queue`.
    """
    return {name: value for name, value in terms.items() if value is not None and value is not False}


def node_selection(
    names: Sequence[str] | None,
    status: Sequence[Status] | None,
    state: Sequence[State] | None,
    host_group: Sequence[str] | None,
    *,
    every: bool,
) -> Json | None:
    """Return a `schemas.NodeSelection`; None if the nodes are given by name alone.

    Raises:
        Usage: no nodes are selected, or names and --all are combined.
    """
    filters = {"status": status, "state": state, "host_group": host_group}
    given: Json = {what: list(values) for what, values in filters.items() if values}
    if every and names:
        raise Usage("give either names of nodes or --all, not both")
    if not (every or names or given):
        raise Usage(
            "no nodes given: give names, addresses or globs such as 'rack1-*', or select nodes with --status, --state, "
            "--in-group or --all"
        )
    return given | {"all": True} if every else given or None


def planned(answer: Json) -> Result:
    """Return the result of --dry-run, which fails if the request would be refused.

    Args:
        answer: the plan, as the service sent it.
    """
    return Result([Document(answer, plan_view.plan)], then=partial(_check_plan, answer))


def _check_plan(answer: Json) -> Result:
    plan = read(schemas.Plan, answer)
    reasons = [f"it would be refused: {objection.reason}" for objection in plan.objections]
    if reasons:
        more = f" (and {len(reasons) - 1} more reasons, see above)" if len(reasons) > 1 else ""
        raise Refused(reasons[0] + more)
    return Result()
