"""The root command `clusterctl`: its options, and the commands below it."""

from typing import Annotated

import typer

from clusterctl.aliases import Nouns
from clusterctl.api.connection import Certificates
from clusterctl.api.urls import DEFAULT_URL, parse_url
from clusterctl.commands import (
    action,
    config,
    globals,  # noqa: A004 -- named by its noun
    jobs,
    login,
    node,
    nodes,
    report,
    status,
    support,
    timeline,
    ui,
)
from clusterctl.context import Context
from clusterctl.output.output import Format

app = typer.Typer(
    name="clusterctl",
    cls=Nouns,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes: 0 success; 1 the request was refused, or the job did not end Complete; 2 invalid command line; "
    "3 the service cannot be reached. The result goes to standard output; progress, hints and errors go to standard "
    "error. The short names of contiv's clusterctl are accepted, too: n (node), a (nodes), g (global), j (job), "
    "d (discover), c (config), and below them g, s, c, d, u (get, set, commission, decommission, update).",
)
app.add_typer(node.node_app)
app.add_typer(nodes.nodes_app)
app.command("discover")(nodes.discover)
app.add_typer(action.app)
app.add_typer(jobs.app)
app.command("timeline")(timeline.timeline)
app.command("report")(report.report)
app.command("status")(status.status)
app.command("ui")(ui.ui)
app.command("support-bundle")(support.support_bundle)
app.add_typer(globals.app)
app.add_typer(config.app)
app.command("login")(login.login)
app.command("logout")(login.logout)


def _print_version(ctx: typer.Context, wanted: bool) -> None:  # noqa: FBT001 -- Typer calls it with the option's value
    if wanted and not ctx.resilient_parsing:  # not while a shell completes the line
        from importlib.metadata import version  # noqa: PLC0415 -- rarely needed, and slow to load

        typer.echo(f"clusterctl {version('clusterm')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def clusterctl(
    ctx: typer.Context,
    *,
    url: Annotated[
        str,
        typer.Option(
            "--url",
            "-u",
            metavar="URL",
            envvar="CLUSTERM_URL",
            help="URL of the service: http://host:port, https://host:port, host:port, or unix:/path of its socket.",
        ),
    ] = DEFAULT_URL,
    cacert: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            envvar="CLUSTERM_CACERT",
            help="CA certificates for the certificate of an https service, in PEM. Default: the CAs of the system.",
        ),
    ] = None,
    cert: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", envvar="CLUSTERM_CERT", help="Client certificate for a service that requires one, in PEM."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", envvar="CLUSTERM_KEY", help="Private key of --cert in PEM, if it is in another file."
        ),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File with the access token. Default: CLUSTERM_TOKEN in the environment, then the token that "
            "`clusterctl login` stored for the URL, then, for a service on this host, the one in its state directory.",
        ),
    ] = None,
    output: Annotated[
        Format,
        typer.Option(
            "--output",
            "-o",
            help="Output format: table, or text, which is the same; json, the service's JSON; jsonl, one JSON value "
            "per line, and one line per item of a list; yaml; csv, for events only.",
        ),
    ] = Format.TABLE,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Manage the nodes of a cluster and the jobs that run on them. The command line of clusterm.

    To begin: `clusterctl nodes get`, `clusterctl timeline`, `clusterctl job get last`. If a node has a problem:
    `clusterctl node explain NAME`.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit
    context = ctx.ensure_object(Context)
    context.url = parse_url(url)
    context.certificates = Certificates(cacert, cert, key)
    context.token_file = token_file
    context.output = output
