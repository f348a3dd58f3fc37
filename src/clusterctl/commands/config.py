"""`clusterctl config`: the configuration of the running service."""

from typing import Annotated

import typer

from clusterctl.aliases import Verbs
from clusterctl.context import context_of
from clusterctl.options import AsJson
from clusterctl.output.output import Document, Result
from clusterctl.parsing import read_mapping
from clusterctl.views import settings as setting_views

app = typer.Typer(name="config", cls=Verbs, help="See or change the configuration of the running service.")


@app.command("get")
def get(ctx: typer.Context, *, as_json: AsJson = False) -> Result:
    """Show the configuration that the service runs with."""
    yield Document(context_of(ctx, as_json=as_json).client.config(), setting_views.settings)


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
    context = context_of(ctx, as_json=as_json)
    yield Document(context.client.set_config(read_mapping(source)), setting_views.settings)
