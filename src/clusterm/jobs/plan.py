"""The plan of a request: its nodes, playbooks, inventory and vars, and the rules that it violates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from clusterm import schemas
from clusterm.ansible.inventory import inventory, merge_vars
from clusterm.ansible.job_spec import JobSpec, trial
from clusterm.common import batches
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
    request = admission.complete(settings, request)
    terms = request.terms
    action = settings.find_action(request.action)
    spec = trial(settings, action, check=terms.check)
    problems = spec.problems()
    decision = admission.evaluate(session, settings, request, problems, queue=queue)
    names = decision.names
    by_name = {node.name: nodes.to_wire(node, []) for node in nodes.by_names(session, names)}
    of_job = [by_name[name] for name in names if name in by_name]  # a discover job has none
    max_failures = batches.count(terms.max_failures, len(names))
    global_vars = runtime_values.get(session, runtime_values.GLOBALS)
    extra_vars = merge_vars(settings.ansible, global_vars, decision.extra_vars)
    waits_for = decision.waits_for
    return schemas.Plan.model_construct(
        action=request.action,
        host_group=decision.host_group,
        nodes=[] if brief else of_job,
        batches=[list(batch) for batch in batches.split(names, terms.limit_batch)],
        max_failures=max_failures,
        partial_success=admission.nodes_pass_alone(settings, action, terms, len(decision.names)),
        confirm=len(decision.names),
        var_sources=_sources(settings, global_vars, request.extra_vars, decision.extra_vars),
        check=terms.check,
        steps=list(_steps(spec, problems, check=terms.check)),
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


def _sources(
    settings: Settings, global_vars: Mapping[str, Any], given: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, str]:
    """Return where the value of each extra var comes from."""
    configured = merge_vars(settings.ansible, {}, {})
    return {
        **dict.fromkeys(configured, "configuration"),
        **dict.fromkeys(global_vars, "globals"),
        **{name: "request" if name in given else "default" for name in own},
    }


def _steps(spec: JobSpec, problems: Mapping[str, str], *, check: bool) -> Iterator[schemas.PlannedStep]:
    """Yield the steps of a job, and the rollback after the last step that it rolls back."""
    steps = spec.spec.required_steps(check=check)
    for number, step in enumerate(steps, start=1):
        yield _step(spec, step.name, problems, retries=step.retries)
        following = steps[number].rollback if number < len(steps) else None
        if step.rollback and not check and step.rollback != following:
            names = [each.name for each in steps if each.rollback == step.rollback]
            yield _step(spec, step.rollback.name, problems, f"if {' or '.join(names)} fails")


def _step(
    spec: JobSpec, name: str, problems: Mapping[str, str], condition: str | None = None, *, retries: int = 0
) -> schemas.PlannedStep:
    playbook = str(spec.location / spec.playbooks[name])
    error = problems.get(name)
    return schemas.PlannedStep.model_construct(
        name=name, playbook=playbook, condition=condition, retries=retries, error=error
    )
