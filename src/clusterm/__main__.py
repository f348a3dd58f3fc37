"""The command `clusterm`."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterm.errors import ClustermError, quote
from clusterm.settings import Settings, load
from clusterm.states import LogFormat, LogLevel, TokenRole

if TYPE_CHECKING:
    from clusterm.store.engine import Store

cli = typer.Typer(
    name="clusterm",
    help="The cluster manager service. Talk to it with clusterctl.\n\n"
    "A first look: `clusterm demo`. For real: `clusterm serve`, with your playbooks in /etc/clusterm/playbooks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
token_cli = typer.Typer(
    name="token",
    help="Make, list and revoke tokens, which the service asks everybody for. It need not run, nor start anew.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cli.add_typer(token_cli)

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="CLUSTERM_CONFIG",
        help="Configuration, JSON or TOML; - for standard input. Every key can also be set in the environment, "
        "as CLUSTERM_ANSIBLE__USER.",
        show_default=False,
    ),
]


def main() -> None:
    """Run the command; what a person can mend is one line on stderr."""
    try:
        cli()
    except ClustermError as error:
        print(f"clusterm: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


@cli.callback(invoke_without_command=True)
def options(
    *, show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False
) -> None:
    """Handle what stands before the command."""
    if show_version:
        typer.echo(f"clusterm {version('clusterm')}")
        raise typer.Exit


@cli.command("serve")
def serve_command(
    config: Config = None,
    *,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="How to write the service's own log. Default: as manager.log_format says.")
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(help="The least that is worth a line of it. Default: as manager.log_level says."),
    ] = None,
    echo_job_logs: Annotated[
        bool, typer.Option("--echo-job-logs", help="Write the lines of jobs to it, too, each with its job.")
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help='Allow manager.auth = "none" on an address that others can reach.'),
    ] = False,
) -> None:
    """Run the service. SIGHUP reads the configuration again; SIGTERM stops it, and leaves running playbooks alone.

    Without a configuration it listens on 127.0.0.1:9007, and keeps its state in /var/lib/clusterm if root runs it, else
    below the home directory.
    """
    from clusterm.serve import serve  # noqa: PLC0415 -- the other commands do without the whole service

    serve(
        load(config),
        config,
        log_format=log_format,
        log_level=log_level,
        echo_job_logs=echo_job_logs,
        insecure=insecure,
    )


@cli.command("migrate")
def migrate_command(config: Config = None) -> None:
    """Bring the database to the form that this version needs. `serve` does so by itself."""
    from clusterm.store.engine import Store  # noqa: PLC0415
    from clusterm.store.migrations import migrate  # noqa: PLC0415

    store = Store(load(config).store_url)
    came_from = migrate(store)
    store.close()
    typer.echo(f"{store.path}: " + (f"brought to the newest form, from {came_from}" if came_from else "up to date"))


@cli.command("prune")
def prune_command(
    config: Config = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete the jobs that the retention settings do not keep. The service does so by itself, every minute."""
    from clusterm.store.retention import prune, surplus  # noqa: PLC0415

    with _open_store(config) as (store, settings):
        if dry_run:
            with store.read() as session:
                going = iter(surplus(session, settings.retention))
        else:
            going = prune(store, settings.retention)
        for job in going:
            typer.echo(f"job {job.job_id}  {job.bytes} bytes of log  {job.reason}")


@cli.command("drain")
def drain_command(
    config: Config = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no job runs any more.")] = False,
) -> None:
    """Take no new jobs until `clusterm undrain`: they are refused with 503, and queued ones wait."""
    from clusterm.jobs import drain  # noqa: PLC0415

    with _open_store(config) as (store, _):
        running = drain(store, drained=True).running
        while wait and running:
            time.sleep(1)
            running = drain(store, drained=True).running
    typer.echo("drained" + (f"; still running: job {', '.join(map(str, running))}" if running else ""))


@cli.command("undrain")
def undrain_command(config: Config = None) -> None:
    """Take new jobs again."""
    from clusterm.jobs import drain  # noqa: PLC0415

    with _open_store(config) as (store, _):
        drain(store, drained=False)
    typer.echo("new jobs are taken again")


@cli.command("healthcheck")
def healthcheck_command(
    config: Config = None,
    *,
    cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="CLUSTERM_CERT",
            help="A client's certificate with its key, where the service wants one. Default: the service's own.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", envvar="CLUSTERM_KEY", help="The key, if it is not in that file.", show_default=False
        ),
    ] = None,
) -> None:
    """Ask the service on this machine whether it can do its work; exit 1 if not."""
    from clusterm.healthcheck import check  # noqa: PLC0415 -- the other commands need no HTTP client

    typer.echo(check(load(config).manager, (cert, key) if cert else None))


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
    from clusterm.access import parse_lifetime  # noqa: PLC0415
    from clusterm.tokens import create  # noqa: PLC0415

    lifetime = parse_lifetime(expires) if expires else None
    with _open_store(config) as (store, _):
        typer.echo(create(store, name, role, lifetime))


@token_cli.command("list")
def list_tokens_command(
    config: Config = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Print JSON.")] = False,
) -> None:
    """List all tokens there ever were, without what is secret of them."""
    from clusterm.tokens import Shown, every  # noqa: PLC0415

    with _open_store(config) as (store, _):
        tokens = [asdict(token) for token in every(store)]
    if as_json:
        typer.echo(json.dumps(tokens, indent=2))
        return
    head = [field.name.removesuffix("_at").replace("_", " ").upper() for field in fields(Shown)]
    rows = [head, *([_cell(name, value) for name, value in token.items()] for token in tokens)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@token_cli.command("revoke")
def revoke_token_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token.")], config: Config = None
) -> None:
    """Let a token let nobody in any more. It acts at once, and ends what follows a log with it within seconds."""
    from clusterm.tokens import revoke  # noqa: PLC0415

    with _open_store(config) as (store, _):
        revoke(store, name)
    typer.echo(f"the token {name} is revoked")


@cli.command("notify-test")
def notify_test_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The webhook, as `notifications.webhooks` calls it.")],
    config: Config = None,
) -> None:
    """Send a test message to a webhook of the configuration, and say whether it was taken; exit 1 if not.

    It needs no running service.
    """
    from clusterm.notifier import send_test  # noqa: PLC0415

    webhooks = {webhook.name: webhook for webhook in load(config).notifications.webhooks}
    if name not in webhooks:
        there_are = f"it has {', '.join(webhooks)}" if webhooks else "it has none; notifications.webhooks names them"
        raise ClustermError(f"the configuration has no webhook {quote(name)}: {there_are}")
    if problem := send_test(webhooks[name]):
        raise ClustermError(f"the webhook {name} did not take the message: {problem.reason}")
    typer.echo(f"the webhook {name} took the message")


@cli.command("demo")
def demo_command(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, and say how to reach it.")] = False,
) -> None:
    """Show what clusterm does: a real service, real playbooks on three local nodes, one of them failing first.

    Takes a minute or two, and leaves nothing behind.
    """
    from clusterm.demo import demo  # noqa: PLC0415

    demo(keep=keep)


def _cell(name: str, value: str | None) -> str:
    """Show a member of a token to people, times to the second."""
    return "" if value is None else f"{value[:19]}Z" if name.endswith("_at") else value


@contextmanager
def _open_store(config: str | None) -> Iterator[tuple["Store", Settings]]:
    """Open the store of a service, which may be running."""
    from clusterm.store.engine import Store  # noqa: PLC0415
    from clusterm.store.migrations import check_current  # noqa: PLC0415

    settings = load(config)
    store = Store(settings.store_url)
    try:
        check_current(store)
        yield store, settings
    finally:
        store.close()


if __name__ == "__main__":
    main()
