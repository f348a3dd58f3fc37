"""The commands put together, and the options that stand before them."""

from typing import Annotated

import typer

from clusterctl.aliases import Nouns
from clusterctl.api.connection import Certificates
from clusterctl.commands import (
    config,
    globals,  # noqa: A004 -- named by its noun
    jobs,
    login,
    logs,
    nodes,
    status,
    support,
    timeline,
)
from clusterctl.commands import node as node_commands
from clusterctl.context import Context
from clusterctl.output.output import Format
from clusterctl.parsing import parse_url

app = typer.Typer(
    name="clusterctl",
    cls=Nouns,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes: 0 done; 1 the request was refused, or the awaited job did not end Complete; 2 the "
    "command line makes no sense; 3 the service cannot be reached. The result goes to standard output, all "
    "else to standard error. The short names of contiv's clusterctl work, too: n (node), a (nodes), "
    "g (global), j (job), d (discover), c (config), and below them g, s, c, d, u (get, set, commission, "
    "decommission, update).",
)
node_commands.node_app.command("set")(node_commands.set_node)
node_commands.node_app.command("rename")(node_commands.rename)
node_commands.node_app.command("remove")(node_commands.remove)
node_commands.node_app.command("trust")(node_commands.trust)
node_commands.node_app.command("forget-key")(node_commands.forget_key)
node_commands.node_app.command("import")(node_commands.import_nodes)
app.add_typer(node_commands.node_app)
app.add_typer(nodes.nodes_app)
app.command("discover")(nodes.discover)
jobs.app.command("logs")(logs.logs)
jobs.app.command("verify")(logs.verify)
app.add_typer(jobs.app)
app.command("timeline")(timeline.timeline)
app.command("status")(status.status)
app.command("support-bundle")(support.support_bundle)
app.add_typer(globals.app)
app.add_typer(config.app)
app.command("login")(login.login)
app.command("logout")(login.logout)


def _print_version(ctx: typer.Context, wanted: bool) -> None:  # noqa: FBT001 -- Typer calls it with the option's value
    if wanted and not ctx.resilient_parsing:  # a shell that completes the line wants none
        from importlib.metadata import version  # noqa: PLC0415 -- rarely asked for, and slow to load

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
            help="Where clusterm is: http://host:port, https://host:port, host:port, or unix:/path of its socket.",
        ),
    ] = "http://127.0.0.1:9007",
    cacert: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            envvar="CLUSTERM_CACERT",
            help="Certificates of the CAs that an https service may have, in PEM. Default: those of the system.",
        ),
    ] = None,
    cert: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", envvar="CLUSTERM_CERT", help="A certificate in PEM to show to a service that asks for one."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="FILE", envvar="CLUSTERM_KEY", help="Its key in PEM, if it is not in the same file."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File that holds the token to send. Without it: CLUSTERM_TOKEN in the environment, then what "
            "`clusterctl login` has kept for the URL, then, for a service on this host, the token in its state "
            "directory.",
        ),
    ] = None,
    output: Annotated[
        Format,
        typer.Option(
            "--output",
            "-o",
            help="How to print results: as table or text, both for people; as the service's JSON; as jsonl, "
            "which is one JSON value on each line, the items of a list on a line each; as YAML; or, events only, "
            "as CSV.",
        ),
    ] = Format.TABLE,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take nodes of a cluster through their lifecycle, and see what happened. The command line of clusterm.

    A first look: `clusterctl nodes get`, `clusterctl timeline`, `clusterctl job get last`. If a node is not as it
    should be: `clusterctl node explain NAME`.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit
    context = ctx.ensure_object(Context)
    context.url = parse_url(url)
    context.certificates = Certificates(cacert, cert, key)
    context.token_file = token_file
    context.output = output
