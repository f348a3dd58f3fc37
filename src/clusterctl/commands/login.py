"""`clusterctl login` and `logout`: access tokens stored for this user."""

import sys

import typer

from clusterctl import credentials
from clusterctl.api.rest import RestClient
from clusterctl.context import Context
from clusterctl.errors import Usage
from clusterctl.output.output import Note, Result, note


def login(ctx: typer.Context) -> Result:
    """Check a token, and store it for the service at --url.

    Reads the token from a prompt, from standard input, or from the file given by --token-file before the command. From
    then on clusterctl sends the token to this URL and to no other. The administrator of the service creates tokens
    with: clusterm token create
    """
    context = ctx.ensure_object(Context)
    file = context.token_file
    token = credentials.read(file) if file else credentials.given(_ask(context.url), "the input")
    client = RestClient(context.url, note, context.certificates, token=token)
    try:
        client.drain_state()
    finally:
        client.close()
    stored = credentials.store(context.url, token)
    notes = [Note(f"logged in to {context.url}; the token is stored in {stored}")]
    if context.url.startswith("http:") and not credentials.is_here(context.url):
        notes.insert(0, Note("the connection is not encrypted: others on the network can read the token; use https"))
    return Result(notes)


def logout(ctx: typer.Context) -> Result:
    """Delete the stored token for the service at --url.

    The token stays valid. To revoke it: clusterm token revoke
    """
    url = ctx.ensure_object(Context).url
    return Result([Note(f"logged out of {url}" if credentials.forget(url) else f"no token was stored for {url}")])


def _ask(url: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read(credentials.MAX_TOKEN_LENGTH)
    try:
        return str(typer.prompt(f"Token for {url}", hide_input=True, err=True))
    except typer.Abort:
        raise Usage("no token was given") from None
