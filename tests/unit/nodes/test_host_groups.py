"""Rules of the lifecycle for host groups of a site."""

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rules

from clusterm.common.actions import ACTIONS, NODE_ACTIONS
from clusterm.enums import Action, Role, State, Status
from clusterm.errors import BadRequest, Conflict, NotFound
from clusterm.nodes import lifecycle
from clusterm.store.nodes import Candidate

OWN: Mapping[str, Role] = {"web": Role.WORKER, "control": Role.MASTER, "spare": Role.MASTER, "db": Role.WORKER}


def member(name: str, group: str, status: Status = Status.ALLOCATED) -> Candidate:
    return rules.facts(name, status, State.DISCOVERED, group)


def check(action: Action, names: list[str], group: str, *members: Candidate) -> None:
    rules.check(action, names, group, {one.name: one for one in members}, OWN)


@pytest.mark.parametrize(("master", "worker"), list(product(["control", "spare"], ["web", "db"])))
def test_any_group_of_masters_does_for_any_group_of_workers(master: str, worker: str) -> None:
    new = member("n", worker, Status.UNALLOCATED)
    check(Action.COMMISSION, ["n"], worker, new, member("m", master))
    with pytest.raises(Conflict, match="needs a reachable master"):
        check(Action.COMMISSION, ["n"], worker, new, member("m", "db"))
    with pytest.raises(Conflict, match="only workers would be left"):
        check(Action.DECOMMISSION, ["m"], "", member("m", master), member("n", worker))
    with pytest.raises(Conflict, match="no reachable master would be left"):
        check(Action.UPDATE, ["m"], worker, member("m", master))
    check(Action.UPDATE, ["m"], worker, member("m", master), member("o", "control"))


def test_the_default_groups_are_none_where_a_site_has_its_own() -> None:
    with pytest.raises(BadRequest, match=r'"service-master" is no host group\. Host groups: web, control, spare, db$'):
        check(Action.COMMISSION, ["n"], "service-master", member("n", "web", Status.UNALLOCATED))
    assert lifecycle.first_group(OWN) == "control"


def test_a_node_in_a_group_that_is_gone_counts_as_a_worker() -> None:
    stranger, master = member("n", "gone"), member("m", "control")
    with pytest.raises(Conflict, match="only workers would be left"):
        check(Action.DECOMMISSION, ["m"], "", stranger, master)
    with pytest.raises(Conflict, match=r"not name any more: \[n:gone\]\. Update them with a host group: web, control"):
        check(Action.UPDATE, ["n"], "", stranger, master)
    check(Action.UPDATE, ["n"], "web", stranger, master)
    check(Action.DECOMMISSION, ["n"], "", stranger, master)


_groups = st.sampled_from([*OWN, "gone"])
_clusters = st.lists(
    st.builds(
        member, st.just(""), _groups, st.sampled_from([Status.UNALLOCATED, Status.ALLOCATED, Status.DECOMMISSIONED])
    ),
    min_size=1,
    max_size=5,
)


@given(
    st.sampled_from([spec.name for spec in NODE_ACTIONS]),
    _clusters,
    st.sets(st.integers(0, 4)),
    st.sampled_from([*OWN, ""]),
)
def test_no_accepted_request_leaves_workers_without_a_master(
    action: Action, members: list[Candidate], chosen: set[int], group: str
) -> None:
    cluster = {f"n{n}": rules.facts(f"n{n}", one.status, one.state, one.host_group) for n, one in enumerate(members)}
    names = [f"n{n}" for n in chosen]
    try:
        rules.check(action, names, group, cluster, OWN)
    except (BadRequest, Conflict, NotFound):
        return

    def roles(nodes: Mapping[str, Candidate]) -> set[Role | None]:
        return {OWN.get(one.host_group, Role.WORKER) for one in nodes.values() if one.status is Status.ALLOCATED}

    after = dict(cluster)
    for name in names:
        after[name] = member(
            name,
            group or cluster[name].host_group,
            lifecycle.status_after(ACTIONS[action], passed=True) or cluster[name].status,
        )
    assert roles(after) != {Role.WORKER} or roles(cluster) == {Role.WORKER}
