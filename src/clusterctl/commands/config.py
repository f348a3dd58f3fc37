"""`clusterctl config`: the configuration of the running service."""

from typing import Annotated

import typer

from clusterctl import tables
from clusterctl.aliases import Verbs
from clusterctl.options import AsJson
from clusterctl.session import session_of
from clusterctl.show import Document, Result
from clusterctl.values import read_mapping

app = typer.Typer(name="config", cls=Verbs, help="See or change the configuration of the running service.")


@app.command("get")
def get(ctx: typer.Context, *, as_json: AsJson = False) -> Result:
    """Show the configuration that the service runs with."""
    yield Document(session_of(ctx, as_json=as_json).client.config(), tables.settings)


@app.command("set")
def change(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="A file with JSON, YAML or (.toml) TOML; - reads standard input."),
    ],
    *,
    as_json: AsJson = False,
) -> Result:
    """Change the configuration of the running service, and show it.

    Only the section `ansible` may change while the service runs; what is left out stays as it is. Jobs that
    have started keep what they started with. The change outlasts restarts of the service, until the section
    changes in its configuration file. To change a value: `clusterctl config get --json > FILE`, edit FILE,
    `clusterctl config set FILE`.
    """
    session = session_of(ctx, as_json=as_json)
    yield Document(session.client.set_config(read_mapping(source)), tables.settings)
