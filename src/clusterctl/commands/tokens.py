"""`clusterctl token` and `clusterctl whoami`: access tokens, and the one that this clusterctl uses."""

from typing import Annotated

import typer

from clusterctl.aliases import Verbs
from clusterctl.context import context_of
from clusterctl.options import AsJson, Output
from clusterctl.output.output import Document, Note, Result, page_items
from clusterctl.views import tokens as token_views

app = typer.Typer(name="token", cls=Verbs, help="List or revoke access tokens; needs the role admin.")


@app.command("list")
def list_tokens(ctx: typer.Context, *, output: Output = None, as_json: AsJson = False) -> Result:
    """List all tokens, also expired and revoked ones, without secrets.

    Tokens are created on the service's host, with: clusterm token create
    """
    page = context_of(ctx, as_json=as_json, output=output).rest.tokens()
    return Result([Document(page, token_views.tokens, items=page_items)])


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the token.")],
    *,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Revoke a token.

    The service rejects it from now on; open log streams and sessions of the dashboard end within seconds.
    """
    answer = context_of(ctx, as_json=as_json, output=output).rest.revoke_token(name)
    return Result([Document(answer, token_views.token), Note(f"the token {name} is revoked")])


def whoami(ctx: typer.Context, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Show name, role and expiry of the token in use."""
    return Result([Document(context_of(ctx, as_json=as_json, output=output).rest.me(), token_views.me)])
