"""`clusterm token`."""

import json
from dataclasses import asdict, fields
from typing import Annotated

import typer

from clusterm.cli.options import Config, open_store
from clusterm.enums import TokenRole

token_cli = typer.Typer(
    name="token",
    help="Make, list and revoke tokens, which the service asks everybody for. It need not run, nor start anew.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@token_cli.command("create")
def create_token_command(
    config: Config = None,
    *,
    name: Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="Whose it is. Jobs and events say so.")],
    role: Annotated[TokenRole, typer.Option("--role", "-r", help="What it is good for.")],
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How long it is good: 12h, 30d, 8w. Default: until it is revoked."),
    ] = None,
) -> None:
    """Make a token, and print it to standard output. Keep it well: it is shown this one time only."""
    from clusterm.access.token_management import create  # noqa: PLC0415
    from clusterm.access.tokens import parse_lifetime  # noqa: PLC0415

    lifetime = parse_lifetime(expires) if expires else None
    with open_store(config) as (store, _):
        typer.echo(create(store, name, role, lifetime))


@token_cli.command("list")
def list_tokens_command(
    config: Config = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Print JSON.")] = False,
) -> None:
    """List all tokens there ever were, without what is secret of them."""
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
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token.")], config: Config = None
) -> None:
    """Let a token let nobody in any more. It acts at once, and ends what follows a log with it within seconds."""
    from clusterm.access.token_management import revoke  # noqa: PLC0415

    with open_store(config) as (store, _):
        revoke(store, name)
    typer.echo(f"the token {name} is revoked")


def _cell(name: str, value: str | None) -> str:
    """Show a member of a token to people, times to the second."""
    return "" if value is None else f"{value[:19]}Z" if name.endswith("_at") else value
