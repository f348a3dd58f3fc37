"""`clusterm token`."""

import json
from dataclasses import asdict, fields
from typing import Annotated

import typer

from clusterm.cli.options import Config, local_user, open_store
from clusterm.enums import TokenRole

token_cli = typer.Typer(
    name="token",
    help="Create, list and revoke access tokens. The service need not run or be restarted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@token_cli.command("create")
def create_token_command(
    config: Config = None,
    *,
    name: Annotated[
        str,
        typer.Option(
            "--name", "-n", metavar="NAME", help="Name of the token; recorded as requester in jobs and events."
        ),
    ],
    role: Annotated[TokenRole, typer.Option("--role", "-r", help="What the token allows.")],
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Lifetime: 12h, 30d, 8w. Default: until the token is revoked."),
    ] = None,
) -> None:
    """Create a token, and print it. It cannot be shown again."""
    from clusterm.access.token_management import create  # noqa: PLC0415
    from clusterm.access.tokens import parse_lifetime  # noqa: PLC0415

    lifetime = parse_lifetime(expires) if expires else None
    with open_store(config) as (store, _):
        typer.echo(create(store, name, role, lifetime, by=local_user()))


@token_cli.command("list")
def list_tokens_command(
    config: Config = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Print JSON.")] = False,
) -> None:
    """List all tokens, also expired and revoked ones, without secrets."""
    from clusterm.access.token_management import TokenInfo, list_tokens  # noqa: PLC0415

    with open_store(config) as (store, _):
        tokens = [asdict(token) for token in list_tokens(store)]
    if as_json:
        typer.echo(json.dumps(tokens, indent=2))
        return
    head = [field.name.removesuffix("_at").replace("_", " ").upper() for field in fields(TokenInfo)]
    rows = [head, *([_cell(name, value) for name, value in token.items()] for token in tokens)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@token_cli.command("revoke")
def revoke_token_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the token.")], config: Config = None
) -> None:
    """Revoke a token. Takes effect immediately and closes open log streams within seconds."""
    from clusterm.access.token_management import revoke  # noqa: PLC0415

    with open_store(config) as (store, _):
        revoke(store, name, by=local_user())
    typer.echo(f"the token {name} is revoked")


def _cell(name: str, value: str | None) -> str:
    """Return a member of a token as text, times to the second."""
    if value is None:
        return ""
    return f"{value[:19]}Z" if name.endswith("_at") else value
