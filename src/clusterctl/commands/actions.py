"""The commands of the actions on nodes, `commission`, `decommission` and `update`, below `node` and `nodes`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import typer

from clusterctl.commands.job_follow import started
from clusterctl.commands.job_start import job_members, node_selection, planned
from clusterctl.context import context_of
from clusterctl.options import (
    All,
    AsJson,
    Check,
    DryRun,
    ExtraVars,
    Follow,
    HostGroup,
    IdleTimeout,
    InGroup,
    JobTimeout,
    LimitBatch,
    MaxFailures,
    NodeNames,
    OfHostGroup,
    OfState,
    OfStatus,
    Output,
    Queue,
    Wait,
)
from clusterctl.output.output import Result
from clusterctl.parsing import parse_batches, parse_extra_vars
from clusterm.common.actions import NODE_ACTIONS, ActionSpec, HostGroupUse
from clusterm.enums import Action


class ActionHelp(NamedTuple):
    """The help of an action's command."""

    summary: str
    """Its line in the list of commands."""
    description: str
    """The text below the summary."""


ACTION_HELP: Final[Mapping[str, ActionHelp]] = {
    Action.COMMISSION: ActionHelp(
        "Make nodes part of the cluster.",
        "Runs the configure playbook on the nodes, and the cleanup playbook if that fails. The nodes must be "
        "Unallocated or Decommissioned, and need a --host-group. The first node must be a master, because workers need "
        "one.",
    ),
    Action.DECOMMISSION: ActionHelp(
        "Take nodes out of the cluster.",
        "Runs the cleanup playbook on the nodes. The nodes must be Allocated, or Unallocated to clean up after a "
        "commission that failed. The last master can only be decommissioned when no worker is left.",
    ),
    Action.UPDATE: ActionHelp(
        "Configure nodes of the cluster again.",
        "Runs the cleanup playbook and then the configure playbook on the nodes, and the cleanup playbook again if "
        "that fails. The nodes must be Allocated. --host-group moves the nodes to another host group.",
    ),
}


def add_action_commands(app: typer.Typer) -> None:
    """Add the command of each action to a noun."""
    for spec in NODE_ACTIONS:
        text = ACTION_HELP[spec.name]
        app.command(str(spec.name), help=f"{text.summary}\n\n{text.description}")(_command(spec))


def _command(spec: ActionSpec) -> Callable[..., Result]:
    def command(
        ctx: typer.Context,
        names: NodeNames = None,
        *,
        status: OfStatus = None,
        state: OfState = None,
        in_group: InGroup = None,
        every: All = False,
        host_group: HostGroup = None,
        extra_vars: ExtraVars = None,
        dry_run: DryRun = False,
        check: Check = False,
        limit_batch: LimitBatch = None,
        max_failures: MaxFailures = None,
        queue: Queue = False,
        job_timeout: JobTimeout = None,
        idle_timeout: IdleTimeout = None,
        wait: Wait = False,
        follow: Follow = False,
        output: Output = None,
        as_json: AsJson = False,
    ) -> Result:
        context = context_of(ctx, as_json=as_json, output=output)
        nodes = list(names or [])
        timeouts = {"job_timeout": job_timeout, "idle_timeout": idle_timeout}
        terms = {"check": check, **parse_batches(limit_batch, max_failures), "queue": queue, **timeouts}
        request = {
            "select": node_selection(names, status, state, in_group, every=every),
            "host_group": host_group,
            "extra_vars": parse_extra_vars(extra_vars),
            **job_members(terms),
        }
        if dry_run:
            return planned(context.rest.plan(spec.name, nodes, **request))
        return started(context, context.rest.start(spec.name, nodes, **request), wait=wait, follow=follow)

    if spec.host_group is HostGroupUse.IGNORED:
        _select_by_host_group(command)
    return command


def _select_by_host_group(command: Callable[..., Result]) -> None:
    """Replace the options --host-group and --in-group by one that selects nodes; Typer reads the signature."""
    signature = inspect.signature(command)
    kept = [each for each in signature.parameters.values() if each.name != "host_group"]
    parameters = [each.replace(annotation=OfHostGroup) if each.name == "in_group" else each for each in kept]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
