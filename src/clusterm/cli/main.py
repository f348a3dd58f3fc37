"""The root command `clusterm`: its option, and the commands below it."""

import os
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from clusterm.cli import database, demo, drain, healthcheck, init, notifications, serve, tokens
from clusterm.common.standard_streams import replace_closed
from clusterm.errors import ClustermError

cli = typer.Typer(
    name="clusterm",
    help="The cluster manager service; its client is clusterctl.\n\n"
    "To try it: `clusterm demo`. To run it: `clusterm init` writes a configuration and playbooks, and `clusterm serve` "
    "starts the service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
cli.add_typer(tokens.token_cli)
cli.command("init")(init.init_command)
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
    replace_closed()
    try:
        cli()
    except ClustermError as error:
        _fail(str(error))
    finally:
        _flush()


def _flush() -> None:
    """Write what was printed. If that fails, exit with 1 and report it, unless the reader has just read enough."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails again at exit
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _fail(f"cannot print the result: {error.strerror}")


def _fail(reason: str) -> NoReturn:
    print(f"clusterm: {reason}", file=sys.stderr)  # noqa: T201
    sys.exit(1)


@cli.callback(invoke_without_command=True)
def options(
    *, show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Handle the options before the command."""
    if show_version:
        typer.echo(f"clusterm {version('clusterm')}")
        raise typer.Exit
