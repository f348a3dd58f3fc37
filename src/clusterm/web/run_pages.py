"""Pages that start a job: a form, then its plan, then the job. Nothing changes before the plan is confirmed."""

import hashlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Path, Request, Response

from clusterm.enums import TokenRole
from clusterm.errors import RequestRefused
from clusterm.jobs import admission
from clusterm.jobs.plan import preview
from clusterm.routes.dependencies import By, Services, ServicesDep
from clusterm.schemas.base import ActionName
from clusterm.web import pages
from clusterm.web.forms import FormDep, Values, invalid, new_key, requester_of
from clusterm.web.page_routes import PageRouter, redirect
from clusterm.web.runs import ActionRun, RetryRun, Run

routes = PageRouter()

_MANY: Final = 50
"""Nodes above which their number has to be typed to confirm a job."""

_MAX_ID: Final = 2**62
_JobId = Annotated[int, Path(ge=1, le=_MAX_ID)]


@routes.add("GET", "/ui/run/{action}", role=TokenRole.OPERATOR)
def get_run(request: Request, services: ServicesDep, action: ActionName) -> Response:
    """Return the form of an action, filled in from the query."""
    return _form(request, services, ActionRun.of(services, action), request.query_params)


@routes.add("POST", "/ui/run/{action}/form", role=TokenRole.OPERATOR)
def post_form(request: Request, services: ServicesDep, action: ActionName, form: FormDep) -> Response:
    """Return the form again, to change it after its plan was shown."""
    return _form(request, services, ActionRun.of(services, action), form)


@routes.add("POST", "/ui/run/{action}/plan", role=TokenRole.OPERATOR)
def post_plan(request: Request, services: ServicesDep, action: ActionName, form: FormDep) -> Response:
    """Return the plan of a form."""
    return _plan(request, services, ActionRun.of(services, action), form)


@routes.add("POST", "/ui/run/{action}", role=TokenRole.OPERATOR)
def post_run(request: Request, services: ServicesDep, by: By, action: ActionName, form: FormDep) -> Response:
    """Start the job of a plan."""
    return _start(request, services, ActionRun.of(services, action), form, by)


@routes.add("GET", "/ui/jobs/{job}/retry", role=TokenRole.OPERATOR)
def get_retry(request: Request, services: ServicesDep, job: _JobId) -> Response:
    """Return the form of a retry."""
    return _form(request, services, RetryRun.of(services, job), request.query_params)


@routes.add("POST", "/ui/jobs/{job}/retry/form", role=TokenRole.OPERATOR)
def post_retry_form(request: Request, services: ServicesDep, job: _JobId, form: FormDep) -> Response:
    """Return the form of a retry again."""
    return _form(request, services, RetryRun.of(services, job), form)


@routes.add("POST", "/ui/jobs/{job}/retry/plan", role=TokenRole.OPERATOR)
def post_retry_plan(request: Request, services: ServicesDep, job: _JobId, form: FormDep) -> Response:
    """Return the plan of a retry."""
    return _plan(request, services, RetryRun.of(services, job), form)


@routes.add("POST", "/ui/jobs/{job}/retry", role=TokenRole.OPERATOR)
def post_retry(request: Request, services: ServicesDep, by: By, job: _JobId, form: FormDep) -> Response:
    """Start the retry of a plan."""
    return _start(request, services, RetryRun.of(services, job), form, by)


def _form(
    request: Request, services: Services, run: Run, values: Values, error: RequestRefused | None = None
) -> Response:
    settings = services.live_settings.current
    code = error.code.status if error else HTTPStatus.OK
    fields = list(run.fields(settings))
    return pages.render(request, "run.html", code, run=run, fields=fields, values=values, error=str(error or ""))


def _plan(
    request: Request, services: Services, run: Run, form: Values, error: RequestRefused | None = None
) -> Response:
    settings = services.live_settings.current
    try:
        with services.store.read() as session:
            wanted, queue = run.request(session, settings, form)
            plan = preview(session, settings, wanted, queue=queue)
    except RequestRefused as refused:
        return _form(request, services, run, form, refused)
    names = [name for batch in plan.batches for name in batch]
    sent = {field.name: form[field.name] for field in run.fields(settings) if form.get(field.name)}
    return pages.render(
        request,
        "plan.html",
        error.code.status if error else HTTPStatus.OK,
        run=run,
        plan=plan,
        names=names,
        statuses={node.inventory_state.name: node.inventory_state.status for node in plan.nodes},
        sent=sent,
        key=new_key(),
        planned=_fingerprint(names),
        must_type=_must_type(run, names, check=plan.check),
        error=str(error or ""),
    )


def _start(request: Request, services: Services, run: Run, form: Values, by: str) -> Response:
    """Start the job if the nodes are still those of the plan; otherwise show the plan of now."""
    settings = services.live_settings.current
    requester = requester_of(request, form, by)
    try:
        with services.store.read() as session:
            job = admission.known_job(session, requester)  # a second click
            if job is None:
                wanted, queue = run.request(session, settings, form)
                names = admission.evaluate(session, settings, wanted, {}, queue=queue).names
                _check_confirmed(run, names, form, check=wanted.terms.check)
        if job is None:
            job = run.begin(services, requester, form, confirm=len(names))
            services.supervisor.wake()
    except RequestRefused as refused:
        return _plan(request, services, run, form, refused)
    return redirect(request, f"/ui/jobs/{job.id}")


def _check_confirmed(run: Run, names: Sequence[str], form: Values, *, check: bool) -> None:
    if form.get("planned") != _fingerprint(names):
        raise invalid("other nodes are selected now than in the plan that you have seen: this is the plan of now")
    if _must_type(run, names, check=check) and form.get("confirmed", "").strip() != str(len(names)):
        raise invalid(f"type the number of nodes, {len(names)}, to confirm")


def _must_type(run: Run, names: Sequence[str], *, check: bool) -> bool:
    most = 0 if run.spec.confirm is True or run.spec.leaves_cluster else min(_MANY, run.spec.confirm or _MANY)
    return not check and len(names) > most


def _fingerprint(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
