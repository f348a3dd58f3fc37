"""The plan of a request: its nodes, playbooks, inventory and vars, and the rules that it violates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from clusterm import schemas
from clusterm.ansible.inventory import inventory, merge_vars
from clusterm.ansible.job_spec import JobSpec, trial
from clusterm.common import batches
from clusterm.common.actions import ACTIONS
from clusterm.common.redaction import redact
from clusterm.jobs import admission
from clusterm.jobs.requests import JobRequest
from clusterm.store import job_views, nodes, runtime_values
from clusterm.store.session import Session

if TYPE_CHECKING:
    from clusterm.settings import Settings


def preview(
    session: Session, settings: Settings, request: JobRequest, *, queue: bool, brief: bool = False
) -> schemas.Plan:
    """Return what a request would do now. Nothing changes.

    Args:
        session: any transaction.
        settings: the configuration.
        request: the request.
        queue: whether the job may wait until other jobs have ended.
        brief: whether to leave out the inventory and the nodes, except for their names.
    """
    terms = request.terms
    action = ACTIONS[request.action]
    spec = trial(settings, action, check=terms.check)
    problems = spec.problems()
    decision = admission.evaluate(session, settings, request, problems, queue=queue)
    names = decision.names
    by_name = {node.name: nodes.to_wire(node, []) for node in nodes.by_names(session, names)}
    of_job = [by_name[name] for name in names if name in by_name]  # a discover job has none
    max_failures = batches.count(terms.max_failures, len(names))
    extra_vars = merge_vars(settings.ansible, runtime_values.get(session, runtime_values.GLOBALS), request.extra_vars)
    waits_for = decision.waits_for
    return schemas.Plan.model_construct(
        action=request.action,
        host_group=decision.host_group,
        nodes=[] if brief else of_job,
        batches=[list(batch) for batch in batches.split(names, terms.limit_batch)],
        max_failures=max_failures,
        partial_success=settings.manager.partial_success or max_failures > 0,
        check=terms.check,
        steps=list(_steps(request, spec, problems)),
        inventory={}
        if brief
        else inventory([] if action.on_nodes else names, of_job, settings.ansible, host_group=decision.host_group),
        extra_vars=redact(extra_vars, settings.secret_names),
        waits_for=job_views.refer(waits_for) if waits_for else None,
        objections=[
            schemas.Objection.model_construct(nodes=list(violation.nodes), reason=str(violation.refusal))
            for violation in decision.violations
        ],
    )


def _steps(request: JobRequest, spec: JobSpec, problems: Mapping[str, str]) -> Iterator[schemas.PlannedStep]:
    """Yield the steps of a job, each followed by the rollback that runs if it fails."""
    for step in ACTIONS[request.action].required_steps(check=request.terms.check):
        yield _step(spec, step.name, problems)
        if step.rollback and not request.terms.check:
            yield _step(spec, step.rollback.name, problems, f"if {step.name} fails")


def _step(spec: JobSpec, name: str, problems: Mapping[str, str], condition: str | None = None) -> schemas.PlannedStep:
    playbook = str(spec.location / spec.playbooks[name])
    error = problems.get(name)
    return schemas.PlannedStep.model_construct(name=name, playbook=playbook, condition=condition, error=error)
