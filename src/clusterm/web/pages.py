"""Renders pages from templates, with the policy that browsers enforce on them."""

from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response

from clusterm.common.actions import ActionSpec
from clusterm.enums import TokenRole
from clusterm.routes.auth import principal_of
from clusterm.settings import definitions
from clusterm.web import static_files

if TYPE_CHECKING:
    from jinja2 import Environment

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, the Origin of a form is "null"
}


def render(
    request: Request, template: str, code: int = HTTPStatus.OK, *, signed_in: bool = True, **values: Any
) -> Response:
    """Return a page.

    Args:
        request: the request for it.
        template: its file below `templates`.
        code: the status of the response.
        signed_in: whether the page has the navigation, which leads to pages that need a session.
        values: further variables of the template.
    """
    principal = principal_of(request)
    body = (
        _environment()
        .get_template(template)
        .render(
            root=request.scope["root_path"],
            path=request.scope["path"].removeprefix(request.scope["root_path"]),
            principal=principal,
            signed_in=signed_in,
            may_operate=principal is None or principal.may(TokenRole.OPERATOR),
            node_actions=node_actions(request),
            may_administer=principal is None or principal.may(TokenRole.ADMIN),
            **values,
        )
    )
    return Response(body, code, headers=_HEADERS, media_type="text/html; charset=utf-8")


def node_actions(request: Request) -> list[ActionSpec]:
    """Return the actions on nodes that the role of a request's sender permits."""
    principal = principal_of(request)
    known = definitions(request.app.state.services.live_settings.current.actions)
    return [spec for spec in known.values() if spec.on_nodes and (principal is None or principal.may(spec.role))]


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 -- a service may show no page

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static_files.path_of
    environment.filters.update(moment=_moment, duration=_duration, number=_number)
    return environment


def _moment(at: datetime | None) -> str:
    """Return a time in UTC, which a script completes by the local time; a dash for none."""
    if at is None:
        return "-"
    from markupsafe import Markup  # noqa: PLC0415 -- as Jinja2

    at = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S} UTC")


def _duration(seconds: float | None) -> str:
    """Return a duration, such as `2 h 05 min`; a dash for none."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _number(value: int) -> str:
    return f"{value:,}"
