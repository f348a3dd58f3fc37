"""Shell completion of nodes, jobs, host groups and actions. Without a service it offers nothing and prints no error."""

import re
from collections.abc import Iterable
from typing import Final

import typer

from clusterctl import credentials
from clusterctl.api.connection import Certificates
from clusterctl.api.models import read
from clusterctl.api.rest import RestClient
from clusterctl.api.urls import parse_url
from clusterctl.errors import ClusterctlError
from clusterm.enums import DEFAULT_HOST_GROUPS, VarType
from clusterm.schemas import ActionInfo, ActionList, Job, Node, Page

Candidates = list[tuple[str, str]]
"""Values to offer, each with the description that zsh and fish show."""

_TIMEOUT_S: Final = 1.0
"""Seconds after which completion offers nothing, because the user is waiting."""
_LATEST: Final = 30
_SPECIAL: Final = re.compile(r"[^\w ,.:@=-]", re.ASCII)
"""Characters that are not offered: zsh evaluates what it is offered, and the response may be forged."""


def complete_node(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a node's name, described by status and state; names on the command line are not offered again."""
    given = ctx.params.get("names") or []
    try:
        nodes = {name: read(Node, node).inventory_state for name, node in _service(ctx).nodes().items()}
    except ClusterctlError:
        return []
    about = [(name, f"{node.status}, {node.state}") for name, node in nodes.items() if name not in given]
    return _beginning(about, incomplete)


def complete_job(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a job: `active`, `last`, `good` or one of the latest ids, described by status and action."""
    candidates = [
        ("active", "the running job"),
        ("last", "the last job that ended"),
        ("good", "the last Complete job with the action of that one"),
    ]
    try:
        page = _service(ctx).jobs(
            status=None, action=None, node=None, since=None, until=None, limit=_LATEST, cursor=None
        )
        jobs = read(Page[Job], page).items
    except ClusterctlError:
        jobs = []
    return _beginning([*candidates, *((str(job.id), f"{job.status}: {job.desc}") for job in jobs)], incomplete)


def complete_action(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete an action, with its description."""
    try:
        actions = read(ActionList, _service(ctx).actions()).items
    except ClusterctlError:
        return []
    return _beginning([(each.name, each.description) for each in actions], incomplete)


def complete_var(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a var of the action on the command line, and after `name=` its choices."""
    try:
        declared = read(ActionInfo, _service(ctx).action(ctx.params["action"])).vars
    except (ClusterctlError, KeyError):
        return []
    name, given, _ = incomplete.partition("=")
    if not given:
        return _beginning([(f"{var.name}=", var.description) for var in declared], incomplete)
    values = [["false", "true"] if var.type is VarType.BOOLEAN else var.choices for var in declared if var.name == name]
    return _beginning([(f"{name}={value}", "") for each in values for value in each], incomplete)


def complete_host_group(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a host group, described by its role; without a service the default groups."""
    try:
        groups = dict(_service(ctx).config()["ansible"]["host_groups"])
    except (ClusterctlError, KeyError, TypeError, ValueError):  # also an older service, without host groups
        groups = dict(DEFAULT_HOST_GROUPS)
    return _beginning(((group, str(role)) for group, role in groups.items()), incomplete)


def _service(ctx: typer.Context) -> RestClient:
    """Return the client of the service; while completing, the root callback that makes the context does not run."""
    given = ctx.find_root().params
    url = parse_url(given["url"])
    certificates = Certificates(given["cacert"], given["cert"], given["key"])
    token = credentials.find(url, given["token_file"])
    return RestClient(url, lambda _: None, certificates, timeout=_TIMEOUT_S, token=token)


def _beginning(candidates: Iterable[tuple[str, str]], incomplete: str) -> Candidates:
    return [
        (value, _SPECIAL.sub("", about))
        for value, about in candidates
        if value.startswith(incomplete) and not _SPECIAL.search(value)
    ]
