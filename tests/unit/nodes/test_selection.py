"""Which nodes a request means, decided by the pure function; and that every route decides so."""

from collections.abc import Sequence
from typing import Any

import pytest

from clusterm.enums import State, Status
from clusterm.errors import Conflict, NotFound
from clusterm.nodes.selection import select
from clusterm.schemas import NodeSelection
from clusterm.store.nodes import Candidate

HERE, GONE = State.DISCOVERED, State.DISAPPEARED
MASTER, WORKER = "service-master", "service-worker"
NODES = [
    Candidate("rack1-a", "10.0.0.1", Status.ALLOCATED, HERE, MASTER),
    Candidate("rack1-b", "10.0.0.2", Status.UNALLOCATED, HERE, WORKER),
    Candidate("rack2-[ab]", "10.0.0.3", Status.ALLOCATED, HERE, WORKER),
    Candidate("rack2-a", "10.0.0.3", Status.ALLOCATED, GONE, WORKER),
    Candidate("rack2-b", "10.0.0.5", Status.DECOMMISSIONED, HERE, MASTER),
]


@pytest.mark.parametrize(
    ("targets", "selection", "names"),
    [
        (["rack1-b", "rack1-a", "rack1-b"], {}, ["rack1-b", "rack1-a"]),
        (["10.0.0.2", "rack1-b"], {}, ["rack1-b"]),
        (["10.0.0.3"], {}, ["rack2-[ab]"]),  # the one that is there now
        (["rack1-*"], {}, ["rack1-a", "rack1-b"]),
        (["rack1-b", "rack1-*"], {}, ["rack1-b", "rack1-a"]),
        (["rack2-[ab]"], {}, ["rack2-[ab]"]),  # a name first, and only then a glob
        (["rack2-[!a]"], {}, ["rack2-b"]),
        (["rack2-[ab]", "rack2-?"], {}, ["rack2-[ab]", "rack2-a", "rack2-b"]),
        (["*-b", "rack1-*", "rack*"], {}, ["rack1-b", "rack2-b", "rack1-a", "rack2-[ab]", "rack2-a"]),
        (["*", "rack1-*"], {}, [node.name for node in NODES]),
        (["rack?-b"], {}, ["rack1-b", "rack2-b"]),
        (["rack1-*"], {"status": ["Allocated"]}, ["rack1-a"]),
        (["rack1-a", "rack1-b"], {"status": ["Unallocated"]}, ["rack1-b"]),
        ([], {"status": ["Allocated", "Unallocated"], "state": [HERE]}, ["rack1-a", "rack1-b", "rack2-[ab]"]),
        ([], {"host_group": ["x", WORKER]}, ["rack1-b", "rack2-[ab]", "rack2-a"]),
        ([], {"all": True}, [node.name for node in NODES]),
        ([], {"all": True, "state": ["Disappeared"]}, ["rack2-a"]),
    ],
)  # fmt: skip
def test_what_a_selection_means(targets: Sequence[str], selection: dict[str, Any], names: Sequence[str]) -> None:
    selected = select(targets, NodeSelection.model_validate(selection), NODES)
    assert (selected.names, selected.refusals) == (names, [])


@pytest.mark.parametrize(
    ("targets", "selection", "reasons"),
    [
        ([], {}, ["give at least one node"]),
        ([], {"status": [], "host_group": None}, ["give at least one node"]),
        (["rack1-a"], {"all": True}, ['either name nodes or select "all" of them, not both']),
        (
            ["x", "rack1-a", "RACK1-*"],
            {},
            ['no node has the name or address "x"', 'no node matches "RACK1-*"'],
        ),
        ([], {"host_group": ["nobody"]}, ['no node matches host group "nobody"']),
        (["*", "rack9-*", "y?"], {}, ['no node matches "rack9-*"', 'no node matches "y?"']),
        (["rack1-*"], {"state": ["Disappeared"]}, ['no node matches "rack1-*", state Disappeared']),
    ],
)
def test_what_no_selection_means(targets: Sequence[str], selection: dict[str, Any], reasons: Sequence[str]) -> None:
    selected = select(targets, NodeSelection.model_validate(selection), NODES)
    assert [str(refusal) for refusal in selected.refusals] == reasons


def test_an_address_may_be_in_brackets_and_have_a_port() -> None:
    nodes = [
        Candidate("vm-1", "2001:db8::1", Status.ALLOCATED, HERE, WORKER, port=2201),
        Candidate("vm-2", "2001:db8::1", Status.ALLOCATED, HERE, WORKER, port=2202),
        Candidate("vm-3", "2001:db8::3", Status.ALLOCATED, HERE, WORKER, port=None),
    ]
    targets = ["[2001:DB8::1]:2202", "[2001:db8:0::3]", "[2001:db8::1]:2201"]
    assert select(targets, NodeSelection(), nodes).names == ["vm-2", "vm-3", "vm-1"]
    refused = select(["[2001:db8::1]", "vm-3", "2001:db8::9"], NodeSelection(), nodes)
    assert [type(refusal) for refusal in refused.refusals] == [Conflict, NotFound]
    assert str(refused.refusals[0]) == (
        'several nodes have the address "[2001:db8::1]": vm-1 ([2001:db8::1]:2201), vm-2 ([2001:db8::1]:2202). '
        "Give the name of one of them"
    )


def test_an_empty_cluster_has_nothing_to_select() -> None:
    assert [str(refusal) for refusal in select([], NodeSelection(all=True), []).refusals] == [
        "no node matches the selection: there are no nodes yet"
    ]


@pytest.mark.parametrize("targets", [["x"] * 10_001, [f"rack{n}-*" for n in range(101)], ["*" * 301]])
def test_a_request_that_names_too_much(targets: Sequence[str]) -> None:
    (refusal,) = select(targets, NodeSelection(), NODES).refusals
    assert str(refusal) == (
        "more than 10000 names and 100 globs of 300 characters: select nodes by status, state or host group"
    )


def test_the_most_globs_on_a_large_cluster() -> None:
    nodes = [Candidate(f"node{number}-x", str(number), Status.ALLOCATED, HERE, WORKER) for number in range(10_000)]
    globs = [f"node{number}*-x" for number in range(100, 200)]
    assert len(select(globs, NodeSelection(), nodes).names) == 1100
