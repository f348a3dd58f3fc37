"""`clusterctl global`: the extra vars that every job gets."""

import typer

from clusterctl.aliases import Verbs
from clusterctl.api.models import Json, read
from clusterctl.context import context_of
from clusterctl.errors import Usage
from clusterctl.options import AsJson, ExtraVars
from clusterctl.output.output import Document, Result, note
from clusterctl.parsing import parse_extra_vars
from clusterctl.views import settings as setting_views
from clusterm.schemas import Globals

app = typer.Typer(name="global", cls=Verbs, help="See or replace the extra vars that every job gets.")


@app.command("get")
def get(ctx: typer.Context, *, as_json: AsJson = False) -> Result:
    """Show the global extra vars."""
    yield from _shown(context_of(ctx, as_json=as_json).client.globals())


@app.command("set")
def replace(ctx: typer.Context, *, extra_vars: ExtraVars = None, as_json: AsJson = False) -> Result:
    """Replace all global extra vars; what is not named is gone.

    They override the configuration's ansible.extra_variables, and the extra vars of a request override them,
    name by name. `clusterctl global set -e '{}'` leaves none.
    """
    context = context_of(ctx, as_json=as_json)
    if extra_vars is None:
        raise Usage("say what to set with --extra-vars; -e '{}' leaves no global extra vars")
    yield from _shown(context.client.set_globals(parse_extra_vars(extra_vars)))


def _shown(answer: Json) -> Result:
    yield Document(answer, setting_views.globals)
    if not read(Globals, answer).extra_vars:
        note("no global extra vars; set them with: clusterctl global set -e NAME=VALUE")
