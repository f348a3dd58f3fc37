"""Selects the nodes of a request, by name, address, glob, status, state or host group, as a pure function."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final

from clusterm.errors import BadRequest, Conflict, NotFound, RequestRefused, quote
from clusterm.problem_codes import ProblemCode
from clusterm.schemas import NodeSelection
from clusterm.store.nodes import Candidate, at_place, not_found

MAX_NAMES: Final = 10_000
"""Maximum number of targets of a request."""

MAX_GLOBS: Final = 100
"""Maximum number of globs among the targets of a request."""

MAX_GLOB_LENGTH: Final = 300
"""Maximum characters of a glob; a name has at most 257."""


@dataclass(frozen=True)
class Selected:
    """The result of a selection."""

    names: list[str] = field(default_factory=list)
    """Each node once: named nodes in the order of the request, nodes of a glob by name."""
    refusals: list[RequestRefused] = field(default_factory=list)
    """Reasons to reject the request: one for each unknown name, and one if no node is selected."""


def select(targets: Sequence[str], selection: NodeSelection, candidates: Sequence[Candidate]) -> Selected:
    """Select the nodes of a request. An empty request selects none.

    Args:
        targets: names, management addresses in any spelling, and globs of names. A target that is the name or address
            of a node is not a glob.
        selection: the conditions for the nodes of the targets or, without targets, for all nodes.
        candidates: all nodes, by name.
    """
    if selection.all and targets:
        refusal = BadRequest('either name nodes or select "all" of them, not both', ProblemCode.INVALID_SELECTION)
        return Selected(refusals=[refusal])
    if not (targets or selection.all or selection.narrows):
        return Selected(refusals=[BadRequest("give at least one node", ProblemCode.NO_NODES)])
    globs = [target for target in targets if _is_glob(target)]
    if len(targets) > MAX_NAMES or len(globs) > MAX_GLOBS or any(len(glob) > MAX_GLOB_LENGTH for glob in globs):
        limits = f"{MAX_NAMES} names and {MAX_GLOBS} globs of {MAX_GLOB_LENGTH} characters"
        detail = f"more than {limits}: select nodes by status, state or host group"
        return Selected(refusals=[BadRequest(detail, ProblemCode.INVALID_SELECTION)])
    refusals: list[RequestRefused] = []
    named = list(_named(targets, candidates, refusals)) if targets else candidates
    found = list(dict.fromkeys(node.name for node in named if _fits(node, selection)))
    if not found and not refusals:
        refusals.append(_no_match(_describe(targets, selection)))
    return Selected(found, refusals)


def _named(
    targets: Sequence[str], candidates: Sequence[Candidate], refusals: list[RequestRefused]
) -> Iterator[Candidate]:
    by_name = {node.name: node for node in candidates}
    by_address: defaultdict[str, list[Candidate]] = defaultdict(list)
    for node in candidates:
        by_address[node.address].append(node)
    found = {target: by_name.get(target) for target in targets}
    globs = [target for target, node in found.items() if node is None and _is_glob(target)]
    matching = _match_globs(globs, candidates)
    for target, named in found.items():
        try:
            node_of_target = named or at_place(target, lambda address: by_address.get(address, []))
        except Conflict as ambiguous:
            refusals.append(ambiguous)
            continue
        if node_of_target is not None:
            yield node_of_target
        elif target not in matching:
            refusals.append(not_found(target))
        elif matching[target] or _matches_any(target, candidates):
            yield from matching[target]
        else:
            refusals.append(_no_match(quote(target)))


def _no_match(what: str) -> NotFound:
    return NotFound(f"no node matches {what}", ProblemCode.NO_NODE_MATCHES)


def _is_glob(target: str) -> bool:
    return any(character in target for character in "*?[")


def _match_globs(globs: Sequence[str], candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Return the nodes of each glob, without nodes of an earlier glob. All globs are one expression, for speed."""
    nodes: dict[str, list[Candidate]] = {glob: [] for glob in globs}
    if globs:
        match = re.compile("|".join(f"({translate(glob)})" for glob in globs)).match
        for node in candidates:
            if (found := match(node.name)) is not None and found.lastindex is not None:
                nodes[globs[found.lastindex - 1]].append(node)
    return nodes


def _matches_any(glob: str, candidates: Sequence[Candidate]) -> bool:
    match = re.compile(translate(glob)).match
    return any(match(node.name) for node in candidates)


def _fits(node: Candidate, selection: NodeSelection) -> bool:
    return (
        (not selection.status or node.status in selection.status)
        and (not selection.state or node.state in selection.state)
        and (not selection.host_group or node.host_group in selection.host_group)
    )


def _describe(targets: Sequence[str], selection: NodeSelection) -> str:
    parts = [
        f"{what} {' or '.join(map(str, values))}"
        for what, values in (
            ("status", selection.status),
            ("state", selection.state),
            ("host group", [quote(group) for group in selection.host_group]),
        )
        if values
    ]
    if targets:
        more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
        parts.insert(0, quote(targets[0]) + more)
    return ", ".join(parts) or "the selection: there are no nodes yet"
