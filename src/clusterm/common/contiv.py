"""What exists for contiv's client alone: its error phrases, and the peculiarities of its requests."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from clusterm.problem_codes import ProblemCode

_CLIENT: Final = "Go-http-client/"
"""Beginning of the `User-Agent` of contiv's client, which is that of Go's standard library."""

PHRASES: Final[Mapping[ProblemCode, str]] = {
    ProblemCode.NODE_NOT_FOUND: "node with name or address {name} doesn't exists",
    ProblemCode.NO_NODES: "atleast one node should be specified",
    ProblemCode.NODES_NOT_DISCOVERED: "one or more nodes are not in discovered state, please check their network "
    "reachability. Non-discovered nodes: [{names}]",
    ProblemCode.INVALID_HOST_GROUP: "invalid or empty host-group specified: {host_group}",
    ProblemCode.MASTER_REQUIRED: "Cannot commission a worker node without existence of a master node in the cluster, "
    "make sure atleast one master node is commissioned.",
    ProblemCode.ONLY_WORKERS_LEFT: "decommissioning the specified node(s) will leave only worker nodes in the cluster, "
    "make sure all worker nodes are decommissioned before last master node.",
    ProblemCode.NO_MASTER_LEFT: "Updating these nodes as worker will result in no master node in the cluster, make "
    "sure atleast one node is commissioned as master.",
    ProblemCode.TRANSITION_NOT_ALLOWED: "failed to update {name}'s state in inventory, Error: transition from "
    '"{status}" to "{running}" is not allowed',
    ProblemCode.ACTIVE_JOB: "there is already an active job, please try in sometime. Job: {job}",
    ProblemCode.JOB_NOT_FOUND: 'info for "{job}" job doesn\'t exist',
    ProblemCode.INVALID_JOB: "Invalid or empty job label specified: {job}",
    ProblemCode.ADDRESS_IN_USE: "one or more nodes already exist with the specified management addresses. "
    "Existing nodes: [{nodes}]",
    ProblemCode.INVALID_MONITOR_EVENT: "Invalid or empty event name specified: {event}",
    ProblemCode.NO_CONFIGURATION: "nil value specified for clusterm configuration",
    ProblemCode.SECTION_FIXED: "{section} configuration can't be changed. Only changes to ansible configuration are "
    "allowed.",
}
"""contiv's error phrases. The names in braces are facts of the error."""

_EXTRA_VARS_PHRASE: Final = '"extra_vars" should be a valid json. Error: {}'

_MEMBERS: Final = frozenset({"nodes", "addrs", "host_group", "extra_vars", "job", "monitor_event", "config"})
"""Members that its requests have, whatever the route."""


def is_client(user_agent: str) -> bool:
    """Return whether a request comes from contiv's client."""
    return user_agent.startswith(_CLIENT)


def phrase(code: ProblemCode, facts: Mapping[str, str]) -> str | None:
    """Return contiv's phrase for a problem; None if contiv has none."""
    template = PHRASES.get(code)
    return None if template is None else template.format_map(facts)


def extra_vars_phrase(reason: str) -> str:
    """Return contiv's phrase for extra vars that are not a JSON object."""
    return _EXTRA_VARS_PHRASE.format(reason)


def own_members(body: Mapping[str, Any], members: Collection[str]) -> dict[str, Any]:
    """Return a request's body without the members that only other requests have.

    Args:
        body: the body.
        members: the members that the request can have.
    """
    return {key: value for key, value in body.items() if key in members or key not in _MEMBERS}


def parse_object(value: Any, **options: Any) -> Any:
    """Return an object that may be sent as a string; no value and an empty string are an empty object.

    Args:
        value: the value of the member.
        options: of `json.loads`.

    Raises:
        ValueError: the string is not JSON.
    """
    if value is None or value == "":
        return {}
    return json.loads(value, **options) if isinstance(value, str) else value


def is_unchanged(values: Any, present: Mapping[str, Any]) -> bool:
    """Return whether a section of the configuration changes nothing.

    Go writes keys in other cases, and empty values for unset members.

    Args:
        values: the section as it was sent.
        present: the present section.
    """
    if not isinstance(values, dict):
        return values is None
    lowered = {key.lower(): value for key, value in present.items()}
    return all(
        (not value and value is not False)
        or lowered.get(key.lower(), lowered.get(key.lower().replace("_", ""))) == value
        for key, value in values.items()
    )
