"""`clusterctl global`: the extra vars of all jobs."""

from __future__ import annotations

import typer

from clusterctl.aliases import Verbs
from clusterctl.api.models import Json, read
from clusterctl.context import context_of
from clusterctl.errors import Usage
from clusterctl.options import AsJson, ExtraVars, Output
from clusterctl.output.output import Document, Note, Result
from clusterctl.parsing import parse_extra_vars
from clusterctl.views import settings as setting_views
from clusterm import schemas

app = typer.Typer(name="global", cls=Verbs, help="Show or replace the extra vars of all jobs.")


@app.command("get")
def get(ctx: typer.Context, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Show the global extra vars."""
    return _shown(context_of(ctx, as_json=as_json, output=output).rest.globals())


@app.command("set")
def replace(
    ctx: typer.Context, *, extra_vars: ExtraVars = None, output: Output = None, as_json: AsJson = False
) -> Result:
    """Replace all global extra vars; omitted ones are removed.

    Global extra vars override the configuration's ansible.extra_variables; the extra vars of a request override global
    ones of the same name. `clusterctl global set -e '{}'` removes all.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    if extra_vars is None:
        raise Usage("no extra vars given: use --extra-vars; -e '{}' removes all global extra vars")
    return _shown(context.rest.set_globals(parse_extra_vars(extra_vars)))


def _shown(answer: Json) -> Result:
    def empty_note() -> Result:
        if read(schemas.Globals, answer).extra_vars:
            return Result()
        return Result([Note("no global extra vars; set them with: clusterctl global set -e NAME=VALUE")])

    return Result([Document(answer, setting_views.globals)], then=empty_note)
