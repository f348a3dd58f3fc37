"""Pages to sign in and out, one-time links, and the files of pages."""

import re
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from anyio import to_thread
from fastapi import HTTPException, Request, Response

from clusterm.access.hosts import check_origin
from clusterm.access.web_sessions import LIFETIME
from clusterm.errors import AccessDenied
from clusterm.routes.auth import sender_of
from clusterm.routes.dependencies import ServicesDep
from clusterm.web import pages, static_files
from clusterm.web.page_routes import PageRouter, cookie_name, cookie_of, redirect

routes = PageRouter()

_OWN_PATH: Final = re.compile(r"/ui/[A-Za-z0-9._~/?&=%:@+,*-]*")
_MAX_FORM: Final = 10_000
_PERMANENTLY: Final = "public, max-age=31536000, immutable"


@routes.add("GET", "/ui", role=None)
def get_ui(request: Request) -> Response:
    """Redirect to the first page."""
    return redirect(request, "/ui/")


@routes.add("GET", "/ui/login", role=None)
def get_login(request: Request, to: str = "/ui/") -> Response:
    """Return the page to sign in."""
    return pages.render(request, "login.html", signed_in=False, to=_own(to), error="")


@routes.add("GET", "/ui/session")
def get_session() -> Response:
    """Respond with 204 if the request has a session.

    A link on another site is followed without the cookie, for which `SameSite=Strict` cares. The page to sign in then
    asks here, as a page of this service, and loads the wanted page.
    """
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})


@routes.add("POST", "/ui/login", role=None)
async def post_login(request: Request, services: ServicesDep) -> Response:
    """Open a session with the token of the form."""
    form = await _form(request)
    try:
        sign_in = partial(services.web_sessions.sign_in, form.get("token", "").strip(), sender_of(request))
        cookie = await to_thread.run_sync(sign_in)
    except AccessDenied as error:
        return _denied(request, services, error, form.get("to", ""))
    return _open(request, cookie, form.get("to", ""))


@routes.add("GET", "/ui/link/{code}", role=None)
def get_link(request: Request, services: ServicesDep, code: str) -> Response:
    """Open a session with a one-time link. A page of another site cannot sign its visitor in with a link of its own."""
    check_origin(request.headers, services.live_settings.current.manager.public_url)
    try:
        cookie = services.web_sessions.follow_link(code, sender_of(request))
    except AccessDenied as error:
        return _denied(request, services, error, "")
    return _open(request, cookie, "")


@routes.add("POST", "/ui/logout", role=None)
def post_logout(request: Request, services: ServicesDep) -> Response:
    """End the session."""
    services.web_sessions.sign_out(cookie_of(request))
    response = redirect(request, "/ui/login")
    name = cookie_name(request)
    response.delete_cookie(name, path="/", secure=name.startswith("__Host-"), httponly=True, samesite="strict")
    return response


@routes.add("GET", "/ui/static/{digest}/{name}", role=None, is_page=False)
def get_static(digest: str, name: str) -> Response:
    """Return a file of the pages."""
    found = static_files.read_all().get(f"{digest}/{name}")
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return Response(found[0], media_type=found[1], headers={"Cache-Control": _PERMANENTLY})


async def _form(request: Request) -> dict[str, str]:
    """Return the first value of each field of a form."""
    body = (await request.body())[:_MAX_FORM].decode(errors="replace")
    return {name: values[0] for name, values in parse_qs(body).items()}


def _denied(request: Request, services: ServicesDep, error: AccessDenied, to: str) -> Response:
    what = f"{request.method} {'/ui/login' if request.method == 'POST' else '/ui/link'}"  # the code is a secret
    services.authenticator.usage.log_rejection(error, what, sender_of(request))
    response = pages.render(
        request, "login.html", error.code.status, signed_in=False, to=_own(to), error=f"Not signed in: {error}."
    )
    response.headers.update({name: value for name, value in error.headers.items() if name == "Retry-After"})
    return response


def _open(request: Request, cookie: str, to: str) -> Response:
    response, name = redirect(request, _own(to)), cookie_name(request)
    response.set_cookie(
        name,
        cookie,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        secure=name.startswith("__Host-"),
        httponly=True,
        samesite="strict",
    )
    return response


def _own(to: str) -> str:
    """Return a path of the dashboard; the first page for any other text."""
    return to if _OWN_PATH.fullmatch(to) and not to.startswith(("/ui/login", "/ui/link")) else "/ui/"
