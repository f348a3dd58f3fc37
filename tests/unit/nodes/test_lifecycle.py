"""The lifecycle's table and rules, cell by cell and rule by rule."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rules

from clusterm.common import batches
from clusterm.common.actions import ACTIONS, StepSpec
from clusterm.enums import DEFAULT_HOST_GROUPS, HOST_GROUPS, MASTER_GROUP, WORKER_GROUP, Action, State, Status, StepName
from clusterm.errors import BadRequest, Conflict, NotFound
from clusterm.nodes import lifecycle
from clusterm.store.nodes import Candidate

CONFIGURE, CLEANUP = StepName.CONFIGURE, StepName.CLEANUP
NODE_ACTIONS = (Action.COMMISSION, Action.DECOMMISSION, Action.UPDATE)

# What the design's table says: from, while it runs, after success, after failure.
TABLE = {
    Action.COMMISSION: (
        {Status.UNALLOCATED, Status.DECOMMISSIONED},
        Status.PROVISIONING,
        Status.ALLOCATED,
        Status.UNALLOCATED,
    ),
    Action.DECOMMISSION: (
        {Status.ALLOCATED, Status.UNALLOCATED},
        Status.CANCELLED,
        Status.DECOMMISSIONED,
        Status.DECOMMISSIONED,
    ),
    Action.UPDATE: ({Status.ALLOCATED}, Status.MAINTENANCE, Status.ALLOCATED, Status.UNALLOCATED),
}

LOST_MASTER = rules.facts("lost-l", Status.ALLOCATED, State.DISAPPEARED, MASTER_GROUP)

NO_WORKER_WITHOUT_MASTER = "a worker needs a reachable master in the cluster: commission a master first"
NO_UPDATE_WITHOUT_MASTER = (
    "no reachable master would be left in the cluster: commission another master, or update a node to master, first"
)
NO_WORKERS_LEFT_ALONE = (
    "only workers would be left in the cluster: decommission all workers before the last reachable master"
)


def member(
    name: str = "node1-a",
    status: Status = Status.UNALLOCATED,
    host_group: str = MASTER_GROUP,
    state: State = State.DISCOVERED,
) -> Candidate:
    return rules.facts(name=name, status=status, state=state, host_group=host_group)


def master(name: str) -> Candidate:
    return member(name, Status.ALLOCATED, MASTER_GROUP)


def worker(name: str) -> Candidate:
    return member(name, Status.ALLOCATED, WORKER_GROUP)


def check(action: Action, names: Iterable[str], host_group: str, *members: Candidate) -> None:
    rules.check(action, names, host_group, {one.name: one for one in members})


# The table


@pytest.mark.parametrize(("action", "status"), list(product(NODE_ACTIONS, Status)))
def test_an_action_is_allowed_from_the_statuses_in_the_table_and_no_other(action: Action, status: Status) -> None:
    sources, _, _, _ = TABLE[action]
    cluster = (member(status=status), master("master-m"))
    if status in sources:
        check(action, ["node1-a"], MASTER_GROUP, *cluster)
        return
    needed = " or ".join(each for each in Status if each in sources)
    phrase = f"cannot {action} node1-a: it is {status}, and would have to be {needed}"
    with pytest.raises(Conflict, match=f"^{re.escape(phrase)}$"):
        check(action, ["node1-a"], MASTER_GROUP, *cluster)


@pytest.mark.parametrize("action", NODE_ACTIONS)
def test_a_node_passes_through_the_statuses_in_the_table(action: Action) -> None:
    _, running, success, failure = TABLE[action]
    assert lifecycle.transition_of(ACTIONS[action]).running is running
    assert lifecycle.status_after(ACTIONS[action], passed=True) is success
    assert lifecycle.status_after(ACTIONS[action], passed=False) is failure


# The steps


@pytest.mark.parametrize(
    ("action", "done", "rolls_back"),
    [
        (Action.COMMISSION, [], False),
        (Action.COMMISSION, [(CONFIGURE, "A")], True),
        (Action.UPDATE, [], False),
        (Action.UPDATE, [(CLEANUP, "A")], False),
        (Action.UPDATE, [(CLEANUP, "ABC"), (CONFIGURE, "A")], True),
    ],
)
def test_only_what_follows_a_failed_configure_is_a_rollback(
    action: Action, done: list[tuple[StepName, str]], rolls_back: bool
) -> None:
    upcoming = lifecycle.next_step(ACTIONS[action], list("ABC"), done)
    assert upcoming is not None
    assert upcoming[2] is rolls_back


@pytest.mark.parametrize(
    ("action", "done", "following"),
    [
        (Action.COMMISSION, [], (CONFIGURE, "ABC")),
        (Action.COMMISSION, [(CONFIGURE, "ABC")], None),
        (Action.COMMISSION, [(CONFIGURE, "")], (CLEANUP, "ABC")),
        (Action.COMMISSION, [(CONFIGURE, "AC")], (CLEANUP, "B")),
        (Action.COMMISSION, [(CONFIGURE, ""), (CLEANUP, "ABC")], None),
        (Action.COMMISSION, [(CONFIGURE, ""), (CLEANUP, "")], None),
        (Action.COMMISSION, [(CONFIGURE, "AC"), (CLEANUP, "B")], None),
        (Action.DECOMMISSION, [], (CLEANUP, "ABC")),
        (Action.DECOMMISSION, [(CLEANUP, "ABC")], None),
        (Action.DECOMMISSION, [(CLEANUP, "A")], None),
        (Action.DECOMMISSION, [(CLEANUP, "")], None),
        (Action.UPDATE, [], (CLEANUP, "ABC")),
        (Action.UPDATE, [(CLEANUP, "ABC")], (CONFIGURE, "ABC")),
        (Action.UPDATE, [(CLEANUP, "AB")], (CONFIGURE, "AB")),
        (Action.UPDATE, [(CLEANUP, "")], None),
        (Action.UPDATE, [(CLEANUP, "ABC"), (CONFIGURE, "ABC")], None),
        (Action.UPDATE, [(CLEANUP, "AB"), (CONFIGURE, "AB")], None),
        (Action.UPDATE, [(CLEANUP, "ABC"), (CONFIGURE, "")], (CLEANUP, "ABC")),
        (Action.UPDATE, [(CLEANUP, "AB"), (CONFIGURE, "A")], (CLEANUP, "B")),
        (Action.UPDATE, [(CLEANUP, "ABC"), (CONFIGURE, ""), (CLEANUP, "ABC")], None),
        (Action.UPDATE, [(CLEANUP, "ABC"), (CONFIGURE, ""), (CLEANUP, "")], None),
        (Action.DISCOVER, [], (CONFIGURE, "ABC")),
        (Action.DISCOVER, [(CONFIGURE, "ABC")], None),
        (Action.DISCOVER, [(CONFIGURE, "B")], None),
    ],
)
def test_each_outcome_leads_to_one_step(
    action: Action, done: list[tuple[StepName, str]], following: tuple[StepName, str] | None
) -> None:
    expected = following and (following[0], list(following[1]))
    assert rules.next_step(action, list("ABC"), done) == expected


@pytest.mark.parametrize(
    ("action", "done", "passed"),
    [
        (Action.COMMISSION, [], ""),
        (Action.COMMISSION, [(CONFIGURE, "AC"), (CLEANUP, "B")], "AC"),
        (Action.DECOMMISSION, [(CLEANUP, "AB")], "AB"),
        (Action.UPDATE, [(CLEANUP, "ABC")], ""),
        (Action.UPDATE, [(CLEANUP, "AB"), (CONFIGURE, "A"), (CLEANUP, "B")], "A"),
        (Action.DISCOVER, [(CONFIGURE, "B")], "B"),
    ],
)
def test_a_node_passes_that_passed_all_that_was_asked_for(
    action: Action, done: list[tuple[StepName, str]], passed: str
) -> None:
    assert lifecycle.passed(ACTIONS[action], "ABC", done) == set(passed)


# The rules


@pytest.mark.parametrize("action", NODE_ACTIONS)
def test_a_node_must_be_named(action: Action) -> None:
    with pytest.raises(BadRequest, match=r"^give at least one node$"):
        check(action, [], MASTER_GROUP, master("node1-a"))


@pytest.mark.parametrize("action", NODE_ACTIONS)
def test_every_named_node_must_exist(action: Action) -> None:
    status = min(TABLE[action][0])
    with pytest.raises(NotFound, match=r'^no node has the name or address "node2-b"$'):
        check(action, ["node1-a", "node2-b"], MASTER_GROUP, member(status=status), master("master-m"))


@pytest.mark.parametrize("action", NODE_ACTIONS)
def test_every_named_node_must_be_discovered(action: Action) -> None:
    status = min(TABLE[action][0])
    cluster = (
        member("node1-a", status, state=State.DISAPPEARED),
        member("node2-b", status),
        member("node3-c", status, state=State.UNKNOWN),
        master("master-m"),
    )
    phrase = "not all nodes are in the state Discovered: node1-a, node3-c. Check whether they can be reached"
    with pytest.raises(Conflict, match=f"^{re.escape(phrase)}$"):
        check(action, ["node1-a", "node2-b", "node3-c"], MASTER_GROUP, *cluster)


@pytest.mark.parametrize("group", ["masters", "service-Master", " service-master", "cluster-node", "all"])
@pytest.mark.parametrize("action", NODE_ACTIONS)
def test_the_host_group_must_be_one(action: Action, group: str) -> None:
    phrase = f'"{group}" is no host group. '
    with pytest.raises(BadRequest, match=f"^{re.escape(phrase)}"):
        check(action, ["node1-a"], group, master("node1-a"), master("master-m"))


def test_a_commission_needs_a_host_group() -> None:
    with pytest.raises(BadRequest, match=r"^give a host group: "):
        check(Action.COMMISSION, ["node1-a"], "", member())


@pytest.mark.parametrize("action", [Action.DECOMMISSION, Action.UPDATE])
def test_other_actions_do_without_a_host_group(action: Action) -> None:
    check(action, ["node1-a"], "", master("node1-a"))


@pytest.mark.parametrize(("status", "state", "group"), list(product(Status, State, HOST_GROUPS)))
def test_only_an_allocated_discovered_master_lets_a_worker_in(status: Status, state: State, group: str) -> None:
    cluster = (member("node1-a"), member("other-o", status, group, state))
    if (status, state, group) == (Status.ALLOCATED, State.DISCOVERED, MASTER_GROUP):
        check(Action.COMMISSION, ["node1-a"], WORKER_GROUP, *cluster)
        return
    with pytest.raises(Conflict, match=f"^{re.escape(NO_WORKER_WITHOUT_MASTER)}$"):
        check(Action.COMMISSION, ["node1-a"], WORKER_GROUP, *cluster)


def test_a_master_in_the_request_lets_no_worker_in() -> None:
    with pytest.raises(Conflict, match=f"^{re.escape(NO_WORKER_WITHOUT_MASTER)}$"):
        check(Action.COMMISSION, ["node1-a", "master-m"], WORKER_GROUP, member("node1-a"), master("master-m"))


def test_the_first_master_needs_no_other() -> None:
    check(Action.COMMISSION, ["node1-a", "node2-b"], MASTER_GROUP, member("node1-a"), member("node2-b"))


def test_no_decommission_leaves_workers_without_a_master() -> None:
    with pytest.raises(Conflict, match=f"^{re.escape(NO_WORKERS_LEFT_ALONE)}$"):
        check(Action.DECOMMISSION, ["master-m"], "", master("master-m"), worker("node1-a"))
    with pytest.raises(Conflict, match=f"^{re.escape(NO_WORKERS_LEFT_ALONE)}$"):
        check(
            Action.DECOMMISSION,
            ["master-m", "node1-a", "master-n"],
            "",
            *(master("master-m"), master("master-n"), worker("node1-a"), worker("node2-b")),
        )


@pytest.mark.parametrize(
    ("names", "cluster"),
    [
        (["master-m"], [master("master-m")]),
        (["master-m"], [master("master-m"), master("master-n"), worker("node1-a")]),
        (["master-m", "node1-a"], [master("master-m"), worker("node1-a")]),
        (["node1-a"], [master("master-m"), worker("node1-a")]),
        (["master-m"], [master("master-m"), member("node1-a", Status.UNALLOCATED, WORKER_GROUP)]),
        (["master-m"], [master("master-m"), member("node1-a", Status.DECOMMISSIONED, WORKER_GROUP)]),
        (["node2-b"], [master("master-m"), worker("node1-a"), member("node2-b", Status.UNALLOCATED)]),
        (["node1-a"], [LOST_MASTER, worker("node1-a"), worker("node2-b")]),
        (["node3-c"], [LOST_MASTER, worker("node1-a"), member("node3-c", Status.UNALLOCATED)]),
    ],
)
def test_a_decommission_may_take_what_no_worker_needs(names: list[str], cluster: list[Candidate]) -> None:
    check(Action.DECOMMISSION, names, "", *cluster)


@pytest.mark.parametrize(
    ("names", "cluster"),
    [
        (["master-m"], [master("master-m")]),
        (["master-m"], [master("master-m"), worker("node1-a")]),
        (["master-m", "master-n"], [master("master-m"), master("master-n")]),
        (["master-m"], [master("master-m"), member("node1-a", Status.UNALLOCATED)]),
        (["master-m"], [master("master-m"), member("node1-a", Status.ALLOCATED, state=State.DISAPPEARED)]),
    ],
)
def test_an_update_to_worker_must_leave_a_master(names: list[str], cluster: list[Candidate]) -> None:
    with pytest.raises(Conflict, match=f"^{re.escape(NO_UPDATE_WITHOUT_MASTER)}$"):
        check(Action.UPDATE, names, WORKER_GROUP, *cluster)


@pytest.mark.parametrize(
    ("names", "group", "cluster"),
    [
        (["master-m"], WORKER_GROUP, [master("master-m"), master("master-n")]),
        (["node1-a"], WORKER_GROUP, [master("master-m"), worker("node1-a")]),
        (["node1-a"], MASTER_GROUP, [worker("node1-a")]),
        (["master-m"], MASTER_GROUP, [master("master-m"), worker("node1-a")]),
        (["master-m"], "", [master("master-m"), worker("node1-a")]),
    ],
)
def test_an_update_may_do_what_leaves_a_master(names: list[str], group: str, cluster: list[Candidate]) -> None:
    check(Action.UPDATE, names, group, *cluster)


# What holds for every cluster and every request

_settled = st.sampled_from([Status.UNALLOCATED, Status.ALLOCATED, Status.DECOMMISSIONED])
_clusters = st.lists(
    st.builds(member, st.just(""), _settled, st.sampled_from(HOST_GROUPS), st.sampled_from(State)),
    min_size=1,
    max_size=5,
).map(
    lambda members: {
        f"node{n}-x": rules.facts(f"node{n}-x", one.status, one.state, one.host_group) for n, one in enumerate(members)
    }
)
_names = st.lists(st.sampled_from([f"node{n}-x" for n in range(6)]), max_size=5)
_groups = st.sampled_from([*HOST_GROUPS, ""])


@given(st.sampled_from(NODE_ACTIONS), _clusters, _names, _groups)
def test_no_accepted_request_leaves_workers_without_a_master(
    action: Action, cluster: Mapping[str, Candidate], names: list[str], group: str
) -> None:
    if not accepted(lambda: rules.check(action, names, group, cluster)):
        return
    assert all(cluster[name].status in TABLE[action][0] for name in names)
    assert all(cluster[name].state is State.DISCOVERED for name in names)
    after = dict(cluster)
    for name in names:
        host_group = group or cluster[name].host_group
        after[name] = rules.facts(name, TABLE[action][2], cluster[name].state, host_group)
    if not workers_alone(cluster):
        assert not workers_alone(after)


@given(st.sampled_from(NODE_ACTIONS), _clusters, _names, _groups, st.randoms(use_true_random=False))
def test_neither_the_order_of_names_nor_their_repetition_matters(
    action: Action, cluster: Mapping[str, Candidate], names: list[str], group: str, random: Random
) -> None:
    otherwise = [*names, *names]
    random.shuffle(otherwise)
    assert accepted(lambda: rules.check(action, names, group, cluster)) == accepted(
        lambda: rules.check(action, otherwise, group, cluster)
    )


def accepted(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except (BadRequest, Conflict, NotFound):
        return False
    return True


def workers_alone(cluster: Mapping[str, Candidate]) -> bool:
    groups = {one.host_group for one in cluster.values() if one.status is Status.ALLOCATED}
    return groups == {WORKER_GROUP}


# Actions of the site

UNDO = StepSpec("rollback")
SITE = ACTIONS["update"].with_terms(
    name="patch", of_site=True, steps=(StepSpec("drain", rollback=UNDO), StepSpec("work", retries=1, rollback=UNDO))
)
Done = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("done", "stopped", "following"),
    [
        ([], False, ("drain", "ABC", 1)),
        ([("drain", "AB")], False, ("work", "AB", 1)),
        ([("drain", "AB"), ("work", "A")], False, ("work", "B", 2)),
        ([("drain", "AB"), ("work", "A"), ("work", "B")], False, ("rollback", "C", 1)),
        ([("drain", "AB"), ("work", "A"), ("work", "")], False, ("rollback", "BC", 1)),
        ([("drain", "AB"), ("work", "A"), ("work", ""), ("rollback", "B")], False, None),
        ([("drain", "")], False, ("rollback", "ABC", 1)),
        ([("drain", "ABC"), ("work", "ABC")], False, None),
        ([("drain", "AB")], True, ("rollback", "ABC", 1)),
        ([("drain", "ABC"), ("work", "A")], True, ("rollback", "BC", 1)),
        ([("drain", "ABC"), ("work", "ABC")], True, None),
    ],
)
def test_steps_are_repeated_and_failed_nodes_rolled_back_at_the_end(
    done: Done, stopped: bool, following: tuple[str, str, int] | None
) -> None:
    upcoming = lifecycle.next_step(SITE, "ABC", done, stopped=stopped)
    assert (upcoming and (upcoming.name, "".join(upcoming.nodes), upcoming.attempt)) == following


def test_no_node_is_rolled_back_on_which_no_step_began() -> None:
    upcoming = lifecycle.next_step(SITE, "ABC", [], stopped=True)
    assert upcoming
    assert (upcoming.name, upcoming.rolls_back) == ("drain", False), "which a job that is stopped does not begin"


def test_a_rollback_is_of_the_failed_nodes_or_of_the_batch_and_may_be_left_out() -> None:
    failed: Done = [("drain", "AB"), ("work", "AB")]
    whole = lifecycle.next_step(SITE.with_terms(rolls_back_batch=True), "ABC", failed)
    assert whole
    assert whole.nodes == ["A", "B", "C"]
    assert lifecycle.next_step(SITE.with_terms(rolls_back_failures=False), "ABC", failed) is None
    stopped = lifecycle.next_step(SITE.with_terms(rolls_back_stops=False), "ABC", failed[:1], stopped=True)
    assert stopped
    assert not stopped.rolls_back


def test_without_partial_success_a_step_fails_for_all_after_its_last_attempt() -> None:
    begun: Done = [("drain", "ABC"), ("work", "A")]
    again = lifecycle.next_step(SITE, "ABC", begun, partial=False)
    assert again
    assert (again.name, again.nodes) == ("work", ["B", "C"])
    undone = lifecycle.next_step(SITE, "ABC", [*begun, ("work", "B")], partial=False)
    assert undone
    assert (undone.name, undone.nodes) == ("rollback", ["A", "B", "C"])
    assert lifecycle.passed(SITE, "ABC", [*begun, ("work", "B")], partial=False) == set()
    assert lifecycle.passed(SITE, "ABC", [*begun, ("work", "B")]) == {"A", "B"}
    assert lifecycle.passed(SITE, "ABC", [*begun, ("work", "BC")], partial=False) == {"A", "B", "C"}


def test_masters_are_spread_over_batches() -> None:
    cluster = {name: master(name) for name in ("m1", "m2", "m3")} | {name: worker(name) for name in "abc"}
    spec, names = SITE.with_terms(min_masters=2), list(cluster)
    ordered = lifecycle.spread_masters(spec, names, [2, 2, 2], cluster, DEFAULT_HOST_GROUPS)
    assert ordered == ["m1", "a", "m2", "b", "m3", "c"]
    assert lifecycle.spread_masters(SITE, names, [6], cluster, DEFAULT_HOST_GROUPS) == names
    with pytest.raises(Conflict, match="no batch of 2 masters can leave 2 in service: use smaller batches"):
        lifecycle.spread_masters(spec, names, [4, 2], cluster, DEFAULT_HOST_GROUPS)


@given(st.integers(1, 6), st.integers(0, 8), st.integers(1, 5), st.integers(1, 3))
def test_spreading_keeps_the_nodes_and_leaves_masters_in_service(
    masters: int, workers: int, size: int, least: int
) -> None:
    cluster = {name: master(name) for name in map("m{}".format, range(masters))}
    cluster |= {name: worker(name) for name in map("w{}".format, range(workers))}
    sizes = batches.sizes(size, len(cluster))
    try:
        found = lifecycle.spread_masters(
            SITE.with_terms(min_masters=least), list(cluster), sizes, cluster, DEFAULT_HOST_GROUPS
        )
    except Conflict:
        assert sum(min(each, max(masters - least, 0)) for each in sizes) < masters
        return
    assert sorted(found) == sorted(cluster)
    for batch in batches.split(found, size):
        assert masters - sum(name.startswith("m") for name in batch) >= least
