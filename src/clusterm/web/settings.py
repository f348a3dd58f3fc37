"""The page of the settings: globals, the section `ansible`, draining, tokens, versions and tasks of the service."""

import json
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response

from clusterm import global_vars, schemas
from clusterm.access import token_management
from clusterm.enums import TokenRole, TokenStatus
from clusterm.errors import RequestRefused
from clusterm.jobs import drain
from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import By, Services, ServicesDep
from clusterm.routes.health import read_status, read_versions
from clusterm.settings import AnsibleSettings
from clusterm.web import pages
from clusterm.web.forms import Field, FormDep, Values, invalid, parse_vars, validate
from clusterm.web.page_routes import PageRouter, redirect

routes = PageRouter()

_PATH: Final = "/ui/settings"


@routes.add("GET", _PATH)
def get_settings(request: Request, services: ServicesDep) -> Response:
    """Return the page."""
    return _page(request, services)


@routes.add("POST", "/ui/settings/globals", role=TokenRole.OPERATOR)
def post_globals(request: Request, services: ServicesDep, by: By, form: FormDep) -> Response:
    """Replace the globals. A masked value that is sent back keeps its secret."""
    try:
        body = validate(schemas.GlobalsRequest, {"extra_vars": parse_vars(form.get("globals", ""))})
        _check_unchanged(form, "globals", _as_text(global_vars.get(services.store)))
        global_vars.replace(services.store, services.live_settings.current, body.extra_vars, by)
    except RequestRefused as refused:
        return _page(request, services, refused, form)
    return redirect(request, f"{_PATH}#globals")


@routes.add("POST", "/ui/settings/ansible", role=TokenRole.ADMIN)
def post_ansible(request: Request, services: ServicesDep, by: By, form: FormDep) -> Response:
    """Change the settings of the section `ansible` whose fields were edited."""
    try:
        changed = (name for name in _editable() if name in form and form[name] != form.get(f"old.{name}"))
        changes = {name: _value(form, name) for name in changed}
        shown = services.live_settings.shown()["ansible"]
        for name in changes:
            _check_unchanged(form, name, _as_text(shown[name]))
        services.live_settings.change({"ansible": changes}, by)
    except RequestRefused as refused:
        return _page(request, services, refused, form)
    return redirect(request, f"{_PATH}#ansible")


@routes.add("POST", "/ui/settings/drain", role=TokenRole.ADMIN)
def post_drain(request: Request, services: ServicesDep, by: By) -> Response:
    """Refuse new jobs."""
    drain.drain(services.store, drained=True, by=by)
    return redirect(request, _PATH)


@routes.add("POST", "/ui/settings/undrain", role=TokenRole.ADMIN)
def post_undrain(request: Request, services: ServicesDep, by: By) -> Response:
    """Accept new jobs again."""
    drain.drain(services.store, drained=False, by=by)
    services.supervisor.wake()
    return redirect(request, _PATH)


@routes.add("POST", "/ui/settings/tokens/{name}/revoke", role=TokenRole.ADMIN)
def post_revoke(request: Request, services: ServicesDep, by: By, name: str) -> Response:
    """Revoke a token."""
    token_management.revoke(services.store, name, by=by)
    return redirect(request, f"{_PATH}#tokens")


def _page(
    request: Request, services: Services, error: RequestRefused | None = None, values: Values | None = None
) -> Response:
    """Return the page; after an error with the values that were sent, so that nothing that was typed is lost."""
    principal = principal_of(request)
    is_admin = principal is None or principal.may(TokenRole.ADMIN)
    shown = services.live_settings.shown()
    ansible = {name: _as_text(value) for name, value in shown.pop("ansible").items()}
    present = {"globals": _as_text(global_vars.get(services.store)), **ansible}
    sent = values or {}
    tokens = token_management.list_tokens(services.store) if is_admin else []
    found = [schemas.Token.model_validate(token, from_attributes=True) for token in tokens]
    return pages.render(
        request,
        "settings.html",
        error.code.status if error else HTTPStatus.OK,
        error=str(error or ""),
        present=present,
        values=present | {name: sent[name] for name in present if name in sent},
        fields=[_field(name) for name in _editable()],
        ansible=ansible,
        others={f"{section}.{name}": _as_text(value) for section, of in shown.items() for name, value in of.items()},
        tokens=sorted(found, key=lambda token: token.status is not TokenStatus.VALID),
        status=read_status(request, services),
        versions=read_versions(services),
    )


def _editable() -> list[str]:
    fixed = AnsibleSettings.fixed_over_rest()
    return [name for name in AnsibleSettings.model_fields if name not in fixed]


def _field(name: str) -> Field:
    setting = AnsibleSettings.model_fields[name]
    is_switch = setting.annotation is bool
    is_long = name == "extra_variables" or not isinstance(setting.default, str | int | float)
    return Field(
        name,
        name,
        "choice" if is_switch else "area" if is_long else "text",
        choices=("true", "false") if is_switch else (),
        hint=(setting.description or "").replace("`", ""),
        required=is_switch,
        is_mono=True,
    )


def _as_text(value: Any) -> str:
    """Return the text of a setting in a field: text unchanged, other values in JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2 if isinstance(value, dict) and value else None, ensure_ascii=False)


def _value(form: Values, name: str) -> Any:
    """Return the value of a setting that a form has."""
    text = form.get(name, "").replace("\r\n", "\n")
    if isinstance(AnsibleSettings.model_fields[name].default, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(f"ansible.{name}: the value is not valid JSON") from None


def _check_unchanged(form: Values, name: str, present: str) -> None:
    """Check that a value is still the one that the page has shown: the change of another user is not overwritten.

    Raises:
        InvalidRequest: it is not.
    """
    if form.get(f"old.{name}", "").replace("\r\n", "\n") != present:
        raise invalid(f"{name} has been changed since this page was loaded: reload it to see the present value")
