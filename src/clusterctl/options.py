"""Arguments and options that several commands share."""

from typing import Annotated

import typer

from clusterctl.completion import complete_host_group, complete_job, complete_node
from clusterctl.output.output import Format
from clusterctl.parsing import parse_duration
from clusterm.enums import HOST_GROUPS, State, Status

NodeName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The node's name, `<label>-<serial>`, or its management address.",
        autocompletion=complete_node,
    ),
]
NodeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="The nodes: names, `<label>-<serial>`, management addresses, or globs of names as 'rack1-*'. Options that "
        "select nodes narrow these down; without a name they select from all nodes.",
        autocompletion=complete_node,
    ),
]
OfStatus = Annotated[
    list[Status] | None,
    typer.Option("--status", case_sensitive=False, help="Only nodes with this status. Can be repeated."),
]
OfState = Annotated[
    list[State] | None,
    typer.Option("--state", case_sensitive=False, help="Only nodes in this state. Can be repeated."),
]
InGroup = Annotated[
    list[str] | None,
    typer.Option(
        "--in-group",
        metavar="GROUP",
        help="Only nodes in this host group. Can be repeated.",
        autocompletion=complete_host_group,
    ),
]
OfHostGroup = Annotated[
    list[str] | None,
    typer.Option(
        "--host-group",
        "--in-group",
        "-g",
        metavar="GROUP",
        help="Only nodes in this host group. Can be repeated.",
        autocompletion=complete_host_group,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All nodes.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Change nothing; show nodes, playbooks, inventory and vars, and all reasons why the request would be "
        "refused (exit code 1).",
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Run ansible with --check --diff: print what would change, and change nothing on the nodes."
    ),
]
LimitBatch = Annotated[
    str | None,
    typer.Option(
        "--limit-batch",
        metavar="N",
        help="Run on N nodes at a time, and stop after a batch in which nodes failed. N is a number, a percentage of "
        "the nodes as 10%, or several as 1,10%,25%, of which the last repeats.",
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        metavar="N",
        help="Stop after the batch after which more than N nodes of the job have failed: a number, or a percentage of "
        "the nodes as 2%. Default: 0.",
    ),
]
JobName = Annotated[
    str | None,
    typer.Argument(
        metavar="active|last|good|ID",
        help="The job: `active` is the running one, `last` the last one that ended, `good` the last Complete one with "
        "the action of that one, a number is an id.",
        autocompletion=complete_job,
    ),
]
HostGroup = Annotated[
    str | None,
    typer.Option(
        "--host-group",
        "-g",
        metavar="GROUP",
        help=f"The nodes' host group: {' or '.join(HOST_GROUPS)}, or one of `ansible.host_groups`.",
        autocompletion=complete_host_group,
    ),
]
ExtraVars = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-vars",
        "-e",
        metavar="VARS",
        help="""Extra vars for ansible: a JSON object such as '{"version": "1.2"}', name=value, @FILE """
        "to read JSON or YAML from a file, or - to read it from standard input. Can be repeated; "
        "the last value of a name wins.",
    ),
]
Queue = Annotated[
    bool,
    typer.Option("--queue", help="Queue the job if it cannot start because of other jobs."),
]
JobTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        parser=parse_duration,
        help="Stop the job after this time: seconds, or with a unit as 30m. 0 disables. Default: as configured.",
    ),
]
IdleTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        parser=parse_duration,
        help="Stop the job if ansible prints nothing for this time, given as for --job-timeout.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", "-w", help="Wait until the job ends; exit with 1 if it does not end Complete."),
]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Print the job's log while it is written, until the job ends; exit as --wait."),
]
FollowEvents = Annotated[bool, typer.Option("--follow", "-f", help="Print new events as they happen, until Ctrl-C.")]
AsJson = Annotated[bool, typer.Option("--json", "-j", help="Print the service's JSON, as --output json.")]
Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", help="Output format, as the option --output before the command."),
]
Cursor = Annotated[
    str | None,
    typer.Option(metavar="CURSOR", help="Continue an earlier list: the value of its `next`."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only from this time on: 2026-11-22T07:31:02Z, or 30m, 2h, 1d ago."),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only before this time: 2026-11-22T09:00:00Z, or 30m, 2h, 1d ago."),
]
OfNode = Annotated[
    str | None,
    typer.Option("--node", metavar="NAME", help="Only of this node.", autocompletion=complete_node),
]
