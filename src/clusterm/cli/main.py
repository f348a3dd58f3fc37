"""The root command `clusterm`: its option, and the commands below it."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from clusterm.cli import database, demo, drain, healthcheck, notifications, serve, tokens
from clusterm.errors import ClustermError

cli = typer.Typer(
    name="clusterm",
    help="The cluster manager service; its client is clusterctl.\n\n"
    "To try it: `clusterm demo`. To run it: `clusterm serve`, with your playbooks in /etc/clusterm/playbooks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
cli.add_typer(tokens.token_cli)
cli.command("serve")(serve.serve_command)
cli.command("migrate")(database.migrate_command)
cli.command("prune")(database.prune_command)
cli.command("check")(database.check_command)
cli.command("restore")(database.restore_command)
cli.command("drain")(drain.drain_command)
cli.command("undrain")(drain.undrain_command)
cli.command("healthcheck")(healthcheck.healthcheck_command)
cli.command("notify-test")(notifications.notify_test_command)
cli.command("demo")(demo.demo_command)


def main() -> None:
    """Run the command; print errors that the user can fix as one line on stderr."""
    try:
        cli()
    except ClustermError as error:
        print(f"clusterm: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


@cli.callback(invoke_without_command=True)
def options(
    *, show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Handle the options before the command."""
    if show_version:
        typer.echo(f"clusterm {version('clusterm')}")
        raise typer.Exit
