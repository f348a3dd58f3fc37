"""Actions as the API shows them."""

from clusterm import schemas
from clusterm.ansible.job_spec import JobSpec, trial
from clusterm.common.actions import ActionSpec, HostGroupUse, StepSpec
from clusterm.common.redaction import MASK
from clusterm.enums import Status, TokenRole
from clusterm.nodes.lifecycle import transition_of
from clusterm.settings import Settings


def describe(settings: Settings, spec: ActionSpec, role: TokenRole | None) -> schemas.ActionInfo:
    """Return an action on nodes.

    Args:
        settings: the configuration.
        spec: the action.
        role: the role of the sender of the request; None without authentication.
    """
    job = trial(settings, spec, check=False)
    problem = next(iter(job.problems().values()), None)
    transition = transition_of(spec)
    return schemas.ActionInfo(
        name=spec.name,
        description=spec.description,
        built_in=not spec.of_site,
        from_status=[status for status in Status if status in transition.sources],
        while_status=transition.running,
        on_success=transition.success,
        on_failure=transition.failure,
        states=sorted(spec.states),
        host_groups=list(spec.host_groups),
        needs_host_group=spec.host_group is HostGroupUse.REQUIRED,
        steps=[_step(job, step) for step in spec.steps],
        rollback=_step(job, spec.rollback) if spec.rollback else None,
        batch=list(spec.batch),
        max_failures=spec.max_failures,
        min_masters=spec.min_masters,
        role=spec.role,
        confirm=spec.confirm,
        check=spec.check,
        max_jobs=spec.max_jobs,
        any_vars=spec.any_vars,
        vars=[
            schemas.ActionVarInfo(
                name=var.name,
                type=var.type,
                required=var.required,
                default=MASK if settings.secret_names.hide(var.name, var.default) else var.default,
                pattern=var.pattern,
                secret=settings.secret_names.hide(var.name, MASK),
                choices=list(var.choices),
                min=var.min,
                max=var.max,
                description=var.description,
            )
            for var in spec.vars
        ],
        ready=problem is None,
        problem=problem,
        allowed=role is None or role is TokenRole.ADMIN or role is spec.role,
    )


def _step(job: JobSpec, step: StepSpec) -> schemas.ActionStepInfo:
    return schemas.ActionStepInfo(
        name=step.name,
        playbook=job.playbooks[step.name],
        tags=list(step.tags),
        skip_tags=list(step.skip_tags),
        timeout=step.timeout,
        retries=step.retries,
        delay=step.delay,
        settle=step.settle,
    )
