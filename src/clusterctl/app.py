"""The root command `clusterctl`: its options, and the commands below it."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from clusterctl.aliases import Deferred, Nouns
from clusterctl.api.certificates import Certificates
from clusterctl.api.urls import DEFAULT_URL, parse_url
from clusterctl.context import Context
from clusterctl.output.output import Format


class _Commands(Nouns):
    deferred: ClassVar[Mapping[str, Deferred]] = {
        "discover": Deferred("nodes", "discover", "Prepare machines at addresses and add them as nodes."),
        "timeline": Deferred("timeline", "timeline", "Show the events of the cluster, oldest first."),
        "report": Deferred("report", "report", "Report what happened in a period, as Markdown for a ticket."),
        "status": Deferred("status", "status", "Show readiness, jobs, nodes and disk space of the service."),
        "ui": Deferred("ui", "ui", "Open the dashboard in a browser."),
        "support-bundle": Deferred(
            "support", "support_bundle", "Write state, events and logs to a file for bug reports."
        ),
        "whoami": Deferred("tokens", "whoami", "Show name, role and expiry of the token in use."),
        "login": Deferred("login", "login", "Check a token, and store it for the service at --url."),
        "logout": Deferred("login", "logout", "Delete the stored token for the service at --url."),
        "node": Deferred("node", "node_app", "Show or change a node, or run an action on it."),
        "nodes": Deferred("nodes", "nodes_app", "Show all nodes, or run an action on several."),
        "action": Deferred("action", "app", "Show the actions that can be run on nodes."),
        "job": Deferred("jobs", "app", "Show, follow, cancel and retry jobs."),
        "global": Deferred("globals", "app", "Show or replace the extra vars of all jobs."),
        "config": Deferred("config", "app", "Show or change the configuration of the service."),
        "token": Deferred("tokens", "app", "List or revoke access tokens; needs the role admin."),
    }


app = typer.Typer(
    name="clusterctl",
    cls=_Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes: 0 success; 1 the request was refused, or the job did not end Complete; 2 invalid command line; "
    "3 the service cannot be reached. The result goes to standard output; progress, hints and errors go to standard "
    "error. The short names of contiv's clusterctl are accepted, too: n (node), a (nodes), g (global), j (job), "
    "d (discover), c (config), and below them g, s, c, d, u (get, set, commission, decommission, update).",
)


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
