"""Route of the interactive API documentation, which loads all of its assets from the service itself."""

import base64
import hashlib
import re
from typing import Final

from fastapi import Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from clusterm.routes.dependencies import Router

routes = Router("docs")

_ASSETS: Final = "static-offline-docs"
"""Path at which FastAPIOffline serves the page's assets, relative to the page."""

DOCS_PATHS: Final = ("/docs", "/openapi.json", f"/{_ASSETS}/")
"""Beginnings of the paths of the documentation."""


@routes.get("/docs", include_in_schema=False, role=None)
def get_docs(request: Request) -> Response:
    """Return the page, with a policy that permits connections to this service and the page's own scripts only.

    Its URLs are relative, so that it works below any path of a proxy.
    """
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="clusterm",
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
        swagger_ui_parameters=request.app.swagger_ui_parameters,
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())
    return page


def _policy(page: str) -> str:
    """Return the page's Content-Security-Policy, which permits inline scripts by their hashes."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    inline = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
