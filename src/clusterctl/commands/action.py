"""`clusterctl action`, and `clusterctl nodes run`: actions of the site and built-in ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from clusterctl.aliases import Verbs
from clusterctl.api.models import Json, read
from clusterctl.commands.job_follow import started
from clusterctl.commands.job_start import job_members, node_selection, planned
from clusterctl.completion import complete_action, complete_var
from clusterctl.context import Context, context_of
from clusterctl.errors import Usage
from clusterctl.options import (
    All,
    AsJson,
    Check,
    DryRun,
    Follow,
    HostGroup,
    IdleTimeout,
    InGroup,
    JobTimeout,
    LimitBatch,
    MaxFailures,
    NodeNames,
    OfState,
    OfStatus,
    Output,
    Queue,
    Wait,
)
from clusterctl.output.output import Document, Result, note
from clusterctl.parsing import parse_batches, parse_extra_vars
from clusterctl.views import actions as action_views
from clusterm import schemas
from clusterm.common.action_vars import parse_text
from clusterm.common.actions import VarSpec

app = typer.Typer(name="action", cls=Verbs, help="Show the actions that can be run on nodes.")

ActionArgument = Annotated[
    str,
    typer.Argument(
        metavar="ACTION", help="An action: `clusterctl action list` shows them.", autocompletion=complete_action
    ),
]
ActionVars = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-vars",
        "-e",
        metavar="VARS",
        help="Vars: name=value, of the type that the action declares (a list as a,b), a JSON object, @FILE to read "
        "JSON or YAML from a file, or - to read it from standard input. Can be repeated.",
        autocompletion=complete_var,
    ),
]


@app.command("list")
def list_all(ctx: typer.Context, *, output: Output = None, as_json: AsJson = False) -> Result:
    """List the actions, with their vars and whether they are ready."""
    context = context_of(ctx, as_json=as_json, output=output)
    return Result([Document(context.rest.actions(), action_views.actions)])


@app.command("show")
def show(ctx: typer.Context, action: ActionArgument, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Show an action: its steps, statuses, batches and vars."""
    context = context_of(ctx, as_json=as_json, output=output)
    return Result([Document(context.rest.action(action), action_views.action)])


def run(
    ctx: typer.Context,
    action: ActionArgument,
    names: NodeNames = None,
    *,
    status: OfStatus = None,
    state: OfState = None,
    in_group: InGroup = None,
    every: All = False,
    host_group: HostGroup = None,
    extra_vars: ActionVars = None,
    dry_run: DryRun = False,
    check: Check = False,
    limit_batch: LimitBatch = None,
    max_failures: MaxFailures = None,
    confirm: Annotated[
        int | None,
        typer.Option("--confirm", metavar="N", min=0, help="Confirm that the request is for N nodes."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the number of nodes, whatever it is.")] = False,
    queue: Queue = False,
    job_timeout: JobTimeout = None,
    idle_timeout: IdleTimeout = None,
    wait: Wait = False,
    follow: Follow = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Run an action on nodes.

    An action of the site, or a built-in one. If the number of nodes has to be confirmed, the command asks for it on a
    terminal; in a script give --confirm or --yes.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    nodes = list(names or [])
    selection = node_selection(names, status, state, in_group, every=every)
    info = read(schemas.ActionInfo, context.rest.action(action))
    timeouts = {"job_timeout": job_timeout, "idle_timeout": idle_timeout}
    terms = {"check": check, **parse_batches(limit_batch, max_failures), "queue": queue, **timeouts}
    request = {
        "select": selection,
        "host_group": host_group,
        "extra_vars": _typed(info, parse_extra_vars(extra_vars), ask=not dry_run),
        **job_members(terms),
    }
    if dry_run:
        return planned(context.rest.plan(action, nodes, **request))
    if confirm is None and info.confirm is not False:
        confirm = _confirmed(context, info, nodes, request, yes=yes)
    answer = context.rest.run(action, nodes, **request, confirm=confirm)
    return started(context, answer, wait=wait, follow=follow)


def _typed(info: schemas.ActionInfo, given: Mapping[str, Any], *, ask: bool) -> Json:
    """Return vars with texts as values of the declared types; ask for missing secrets on a terminal."""
    found = dict(given)
    for each in info.vars:
        var = VarSpec(each.name, each.type, choices=tuple(each.choices))
        if isinstance(found.get(each.name), str):
            found[each.name] = parse_text(var, found[each.name])
        elif each.secret and each.required and each.name not in found and ask and sys.stdin.isatty():
            found[each.name] = typer.prompt(each.description or each.name, hide_input=True, err=True)
    return found


def _confirmed(context: Context, info: schemas.ActionInfo, nodes: list[str], request: Json, *, yes: bool) -> int | None:
    """Return the number of nodes that is confirmed; None if it need not be.

    Raises:
        Usage: it is not confirmed.
    """
    plan = read(schemas.Plan, context.rest.plan(info.name, nodes, **request))
    number = len(plan.nodes)
    if plan.objections or (not isinstance(info.confirm, bool) and number <= info.confirm):
        return None  # the service says why it is refused
    if yes:
        return number
    if not sys.stdin.isatty():
        raise Usage(f"{info.name} on {number} nodes has to be confirmed: give --confirm {number}, or --yes")
    sizes = ", ".join(str(len(batch)) for batch in plan.batches[:20])
    note(f"{info.name} will be run on {number} nodes in {len(plan.batches)} batches: {sizes}")
    note(f"It stops when more than {plan.max_failures} nodes have failed.")
    typed = typer.prompt("Type the number of nodes to continue", err=True)
    if typed.strip() != str(number):
        raise Usage(f"{typed.strip()[:20]!r} is not the number of nodes, {number}: nothing was run")
    return number
