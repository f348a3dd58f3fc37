"""`clusterctl ui`: the dashboard in a browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from clusterctl.api.models import read
from clusterctl.context import context_of
from clusterctl.options import AsJson, Output
from clusterctl.output.output import Document, Format, Note, Result
from clusterm import schemas


def ui(
    ctx: typer.Context,
    *,
    show: Annotated[
        bool, typer.Option("--print", help="Print the link, and open no browser; also with --json.")
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Open the dashboard in a browser.

    The browser is signed in with the token of clusterctl, by a link that works once, within a minute. The session has
    the permissions of the token, and ends with the token. If there is no browser, the link is printed.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    answer = context.rest.create_ui_link()
    link = read(schemas.UiLink, answer)
    url = f"{context.url}{link.path}" if context.url.startswith("http") else link.url
    if show or context.output not in {Format.TABLE, Format.TEXT} or not webbrowser.open(url):
        return Result([Document(answer, lambda _: iter([f"{url}\n"])), Note("the link works once, within a minute")])
    return Result([Note("the dashboard was opened in the browser")])
