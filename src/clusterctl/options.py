"""The arguments and options that several commands have."""

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
        help="The nodes: names, `<label>-<serial>`, management addresses, or globs of names as 'rack1-*'. With the "
        "options that select, only those of them that fit; without a name, all that fit.",
        autocompletion=complete_node,
    ),
]
OfStatus = Annotated[
    list[Status] | None,
    typer.Option("--status", case_sensitive=False, help="Only nodes with this status. Can be repeated: any of them."),
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
        help="Only nodes in this group. Repeatable.",
        autocompletion=complete_host_group,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All nodes.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show nodes, playbooks, inventory and vars, and all reasons why it would be refused (exit code 1); "
        "do nothing.",
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Run ansible with --check --diff, which says what it would change; the nodes stay as they are."
    ),
]
LimitBatch = Annotated[
    int | None,
    typer.Option(
        "--limit-batch", metavar="N", min=1, help="Take N nodes at a time, and stop at the first batch that fails."
    ),
]
JobName = Annotated[
    str | None,
    typer.Argument(
        metavar="active|last|ID",
        help="The job: `active` is the one that runs now, `last` the one that ended last, a number is an id.",
        autocompletion=complete_job,
    ),
]
HostGroup = Annotated[
    str | None,
    typer.Option(
        "--host-group",
        "-g",
        metavar="GROUP",
        help=f"The nodes' host group: {' or '.join(HOST_GROUPS)}, or as `ansible.host_groups` names them.",
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
        "of one name the last wins.",
    ),
]
Queue = Annotated[
    bool,
    typer.Option("--queue", help="If the job cannot run now because of others, let it wait for its turn."),
]
JobTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        parser=parse_duration,
        help="Stop the job after this time: seconds, or with a unit as 30m. 0 is never. Default: as configured.",
    ),
]
IdleTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        parser=parse_duration,
        help="Stop the job when ansible has written nothing for this time, given as for --job-timeout.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", "-w", help="Wait until the job has ended; exit with 1 if it did not end Complete."),
]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Print the job's log lines as they are written until it ends; exit as --wait."),
]
AsJson = Annotated[bool, typer.Option("--json", "-j", help="Print the service's JSON, as --output json does.")]
Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", help="How to print, as the option of that name before the command; text is table."),
]
Cursor = Annotated[
    str | None,
    typer.Option(metavar="CURSOR", help="Go on where an earlier answer stopped: its `next`."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only what is newer: a time as 2026-11-22T07:31:02Z, or 30m, 2h, 1d ago."),
]
OfNode = Annotated[
    str | None,
    typer.Option("--node", metavar="NAME", help="Only what concerns this node.", autocompletion=complete_node),
]
