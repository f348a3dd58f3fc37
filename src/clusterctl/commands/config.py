"""`clusterctl config`: the configuration of the running service."""

from typing import Annotated

import typer

from clusterctl.aliases import Verbs
from clusterctl.context import context_of
from clusterctl.options import AsJson, Output
from clusterctl.output.output import Document, Result
from clusterctl.parsing import read_mapping
from clusterctl.views import settings as setting_views

app = typer.Typer(name="config", cls=Verbs, help="Show or change the configuration of the service.")


@app.command("get")
def get(ctx: typer.Context, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Show the configuration of the running service."""
    return Result([Document(context_of(ctx, as_json=as_json, output=output).rest.config(), setting_views.settings)])


@app.command("set")
def change(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="A file with JSON, YAML or (.toml) TOML; - reads standard input."),
    ],
    *,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Change the configuration of the running service.

    Only the section `ansible` can change while the service runs; omitted keys keep their values. Running jobs keep the
    configuration with which they started. The change survives restarts of the service, until the section changes in
    its configuration file. To change a value: `clusterctl config get --json > FILE`, edit FILE,
    `clusterctl config set FILE`.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    return Result([Document(context.rest.set_config(read_mapping(source)), setting_views.settings)])
