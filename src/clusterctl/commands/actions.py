"""The commands of the actions on nodes, `commission`, `decommission` and `update`, below `node` and `nodes`."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import typer

from clusterctl.commands.job_follow import started
from clusterctl.commands.job_start import JobTerms, node_selection, planned
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
    NodeNames,
    OfHostGroup,
    OfState,
    OfStatus,
    Queue,
    Wait,
)
from clusterctl.output.output import Result
from clusterctl.parsing import parse_extra_vars
from clusterm.enums import Action


@dataclass(frozen=True)
class ActionCommand:
    """The command of an action.

    Attributes:
        summary: its line in the list of commands.
        description: its help text below the summary.
        takes_host_group: whether `--host-group` sets the nodes' host group; otherwise it selects nodes.
    """

    summary: str
    description: str
    takes_host_group: bool


ACTION_COMMANDS: Final[Mapping[Action, ActionCommand]] = {
    Action.COMMISSION: ActionCommand(
        "Make nodes part of the cluster.",
        "Runs the configure playbook on the nodes, and the cleanup playbook if that fails. The nodes must be "
        "Unallocated or Decommissioned, and need a --host-group. The first node must be a master, because workers need "
        "one.",
        takes_host_group=True,
    ),
    Action.DECOMMISSION: ActionCommand(
        "Take nodes out of the cluster.",
        "Runs the cleanup playbook on the nodes. The nodes must be Allocated, or Unallocated to clean up after a "
        "commission that failed. The last master can only be decommissioned when no worker is left.",
        takes_host_group=False,
    ),
    Action.UPDATE: ActionCommand(
        "Configure nodes of the cluster again.",
        "Runs the cleanup playbook and then the configure playbook on the nodes, and the cleanup playbook again if "
        "that fails. The nodes must be Allocated. --host-group moves the nodes to another host group.",
        takes_host_group=True,
    ),
}


def add_action_commands(app: typer.Typer) -> None:
    """Add the command of each action to a noun."""
    for action, spec in ACTION_COMMANDS.items():
        app.command(str(action), help=f"{spec.summary}\n\n{spec.description}")(_command(action, spec))


def _command(action: Action, spec: ActionCommand) -> Callable[..., Result]:
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
        queue: Queue = False,
        job_timeout: JobTimeout = None,
        idle_timeout: IdleTimeout = None,
        wait: Wait = False,
        follow: Follow = False,
        as_json: AsJson = False,
    ) -> Result:
        context = context_of(ctx, as_json=as_json)
        nodes = list(names or [])
        terms = JobTerms(
            check=check, limit_batch=limit_batch, queue=queue, job_timeout=job_timeout, idle_timeout=idle_timeout
        )
        request = {
            "select": node_selection(names, status, state, in_group, every=every),
            "host_group": host_group,
            "extra_vars": parse_extra_vars(extra_vars),
            **terms.members(),
        }
        if dry_run:
            return planned(context.client.plan(action, nodes, **request))
        return started(context, context.client.start(action, nodes, **request), wait=wait, follow=follow)

    if not spec.takes_host_group:
        _select_by_host_group(command)
    return command


def _select_by_host_group(command: Callable[..., Result]) -> None:
    """Replace the options --host-group and --in-group by one that selects nodes; Typer reads the signature."""
    signature = inspect.signature(command)
    kept = [each for each in signature.parameters.values() if each.name != "host_group"]
    parameters = [each.replace(annotation=OfHostGroup) if each.name == "in_group" else each for each in kept]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
