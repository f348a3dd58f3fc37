"""What the commands share that begin a job on nodes: which nodes they mean, and a look ahead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clusterctl.api.models import Json, read
from clusterctl.commands import jobs
from clusterctl.context import Context
from clusterctl.errors import Refused, Usage
from clusterctl.output.output import Document, Result
from clusterctl.views import plan as plan_view
from clusterm.enums import Action, State, Status
from clusterm.schemas import Plan


def node_selection(
    names: Sequence[str] | None,
    status: Sequence[Status] | None,
    state: Sequence[State] | None,
    host_group: Sequence[str] | None,
    *,
    every: bool,
) -> Json | None:
    """Return which nodes are meant, as `schemas.Selection` has it; None for those that are named.

    Raises:
        Usage: none are meant, or two things at once.
    """
    filters = {"status": status, "state": state, "host_group": host_group}
    given: Json = {what: list(values) for what, values in filters.items() if values}
    if every and names:
        raise Usage("either name nodes or say --all, not both")
    if not (every or names or given):
        raise Usage(
            "which nodes? Name them, as names, addresses or globs such as 'rack1-*', or select them with --status, "
            "--state, --in-group or --all"
        )
    return given | {"all": True} if every else given or None


@dataclass(frozen=True)
class Start:
    """Begins a job, or shows what it would do.

    Attributes:
        session: the service, and how to print.
        dry_run: whether only to show it.
        wait: whether to wait for its end.
        follow: whether to show its log until then.
    """

    context: Context
    dry_run: bool
    wait: bool
    follow: bool

    def __call__(self, action: Action, names: Sequence[str] | None, select: Json | None, **terms: Any) -> Result:
        """Do it; the terms are the other members of `schemas.NodesRequest`, None and False for those not given."""
        given = {name: value for name, value in terms.items() if value is not False}
        client = self.context.client
        if not self.dry_run:
            job = client.start(action, list(names or []), select=select, **given)
            yield from jobs.started(self.context, job, wait=self.wait, follow=self.follow)
            return
        answer = client.plan(action, list(names or []), select=select, **given)
        yield Document(answer, plan_view.plan)
        plan = read(Plan, answer)
        broken = [f"it would fail: {step.error}" for step in plan.steps if step.error]
        reasons = [f"it would be refused: {objection.reason}" for objection in plan.objections] or broken
        if reasons:
            more = f" (and {len(reasons) - 1} more reasons, see above)" if len(reasons) > 1 else ""
            raise Refused(reasons[0] + more)
