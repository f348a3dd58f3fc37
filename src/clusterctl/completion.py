"""Shell completion of nodes, jobs, host groups and actions. Without a service it offers nothing and prints no error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import typer

from clusterctl import credentials
from clusterctl.api.certificates import Certificates
from clusterctl.api.rest import RestClient
from clusterctl.api.urls import parse_url
from clusterctl.errors import ClusterctlError
from clusterm.enums import DEFAULT_HOST_GROUPS, VarType

Candidates = list[tuple[str, str]]
"""Values to offer, each with the description that zsh and fish show."""

_TIMEOUT_S: Final = 1.0
"""Seconds after which completion offers nothing, because the user is waiting."""
_LATEST: Final = 30
_UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError)
"""Errors of a response that is not as expected: models would say which member, and take longer to load than to ask."""
_SPECIAL: Final = re.compile(r"[^\w ,.:@=-]", re.ASCII)
"""Characters that are not offered: zsh evaluates what it is offered, and the response may be forged."""


def complete_node(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a node's name, described by status and state; names on the command line are not offered again."""
    given = ctx.params.get("names") or []
    try:
        nodes = {name: node["inventory_state"] for name, node in _service(ctx).nodes().items()}
        about = [(name, f"{node['status']}, {node['state']}") for name, node in nodes.items() if name not in given]
    except (ClusterctlError, *_UNREADABLE):
        return []
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
        jobs = [(str(job["id"]), f"{job['status']}: {job['desc']}") for job in page["items"]]
    except (ClusterctlError, *_UNREADABLE):
        jobs = []
    return _beginning([*candidates, *jobs], incomplete)


def complete_action(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete an action, with its description."""
    try:
        actions = [(each["name"], each["description"]) for each in _service(ctx).actions()["items"]]
    except (ClusterctlError, *_UNREADABLE):
        return []
    return _beginning(actions, incomplete)


def complete_var(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a var of the action on the command line, and after `name=` its choices."""
    try:
        declared = {each["name"]: each for each in _service(ctx).action(ctx.params["action"])["vars"]}
        name, given, _ = incomplete.partition("=")
        if not given:
            return _beginning([(f"{var}=", about["description"]) for var, about in declared.items()], incomplete)
        about = declared.get(name, {"type": None, "choices": []})
        values = ["false", "true"] if about["type"] == VarType.BOOLEAN else about["choices"]
        return _beginning([(f"{name}={value}", "") for value in values], incomplete)
    except (ClusterctlError, *_UNREADABLE):
        return []


def complete_host_group(ctx: typer.Context, incomplete: str) -> Candidates:
    """Complete a host group, described by its role; without a service the default groups."""
    try:
        groups = dict(_service(ctx).config()["ansible"]["host_groups"])
    except (ClusterctlError, *_UNREADABLE):  # also an older service, without host groups
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
