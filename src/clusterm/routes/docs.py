"""The page that explains the API and lets it be tried; all that it loads comes from the service itself."""

import base64
import hashlib
import re
from typing import Final

from fastapi import Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from clusterm.routes.dependencies import Router

routes = Router("docs")

_ASSETS: Final = "/static-offline-docs"
"""Where FastAPIOffline puts what the page loads."""


@routes.get("/docs", include_in_schema=False, role=None)
def get_docs(request: Request) -> Response:
    """Return the page. Its browser may talk to this service only, and run only the scripts that were meant."""
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="clusterm",
        swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_ASSETS}/favicon.png",
        swagger_ui_parameters=request.app.swagger_ui_parameters,
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())
    return page


def _policy(page: str) -> str:
    """Return the page's Content-Security-Policy; scripts that stand in it are known by what they hash to."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    inline = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
