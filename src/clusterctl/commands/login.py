"""`clusterctl login` and `logout`: tokens that are kept for this user."""

import sys

import typer

from clusterctl import credentials
from clusterctl.api.client import Client
from clusterctl.context import Context
from clusterctl.errors import Usage
from clusterctl.output.output import Result, note


def login(ctx: typer.Context) -> Result:
    """Keep a token for the service at --url, after a look whether it lets you in.

    It is asked for, or read from standard input, or from the file that --token-file names before the command. From then
    on clusterctl uses it for this URL and no other. Whoever runs the service makes one with: clusterm token create
    """
    context = ctx.ensure_object(Context)
    token = credentials.read(context.token_file) if context.token_file else credentials.given(_ask(context.url))
    client = Client(context.url, note, context.certificates, token=token)
    try:
        client.drain_state()
    finally:
        client.close()
    file = credentials.store(context.url, token)
    if context.url.startswith("http:") and not credentials.is_here(context.url):
        note("the connection is not encrypted, and others on the network can read the token: better use https")
    note(f"logged in to {context.url}; the token is kept in {file}")
    yield from ()


def logout(ctx: typer.Context) -> Result:
    """Forget the token that was kept for the service at --url. To make it worthless: clusterm token revoke."""
    url = ctx.ensure_object(Context).url
    note(f"logged out of {url}" if credentials.forget(url) else f"no token was kept for {url}")
    yield from ()


def _ask(url: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read(credentials.MAX_TOKEN_LENGTH)
    try:
        return str(typer.prompt(f"Token for {url}", hide_input=True, err=True))
    except typer.Abort:
        raise Usage("no token was given") from None
