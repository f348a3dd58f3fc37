"""Which nodes a request means, decided by the pure function; and that every route decides so."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.service import Clusterm

from clusterm.enums import State, Status
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
        ([], {}, ["atleast one node should be specified"]),
        ([], {"status": [], "host_group": None}, ["atleast one node should be specified"]),
        (["rack1-a"], {"all": True}, ['either name nodes or select "all" of them, not both']),
        (
            ["x", "rack1-a", "RACK1-*"],
            {},
            ['node with name or address "x" doesn\'t exists', 'no node matches "RACK1-*"'],
        ),
        ([], {"host_group": ["nobody"]}, ['no node matches host group "nobody"']),
        (["rack1-*"], {"state": ["Disappeared"]}, ['no node matches "rack1-*", state Disappeared']),
    ],
)
def test_what_no_selection_means(targets: Sequence[str], selection: dict[str, Any], reasons: Sequence[str]) -> None:
    selected = select(targets, NodeSelection.model_validate(selection), NODES)
    assert [str(refusal) for refusal in selected.refusals] == reasons


def test_an_empty_cluster_has_nothing_to_select() -> None:
    assert [str(refusal) for refusal in select([], NodeSelection(all=True), []).refusals] == [
        "no node matches the selection: there are no nodes yet"
    ]


@pytest.fixture(scope="module")
def racks(module_clusterm: Clusterm) -> Clusterm:
    clusterm = module_clusterm.start()
    clusterm.add_nodes("rack1-a", "rack1-b", "rack2-a", "rack2-b")
    assert clusterm.run("commission", ["rack1-*"])["status"] == "Complete"
    return clusterm


def test_nodes_are_listed_by_selection_and_in_pages(racks: Clusterm) -> None:
    every = racks.get("/info/nodes")
    assert list(every) == ["rack1-a", "rack1-b", "rack2-a", "rack2-b"]
    for name, node in every.items():
        alone = racks.get(f"/info/node/{name}")
        assert node == alone | {"events": alone["events"][-1:]}
    assert list(racks.get("/info/nodes", status="Allocated")) == ["rack1-a", "rack1-b"]
    assert list(racks.get("/info/nodes", name=["rack2-*", "rack1-a"], state="Discovered")) == [
        "rack1-a",
        "rack2-a",
        "rack2-b",
    ]
    assert racks.get("/info/nodes", host_group="service-worker") == {}
    first = racks.get("/info/nodes", limit=3)
    assert first == {"items": [every[name] for name in ("rack1-a", "rack1-b", "rack2-a")], "next": "rack2-a"}
    assert racks.get("/info/nodes", cursor=first["next"]) == {"items": [every["rack2-b"]], "next": None}
    missing = racks.http.get("/info/nodes", params={"name": "rack9-*"})
    assert (missing.status_code, missing.json()["detail"]) == (404, 'no node matches "rack9-*"')


def test_a_job_takes_what_it_selects(racks: Clusterm) -> None:
    before = racks.dump()
    nothing: list[dict[str, Any]] = [
        {"select": {"status": ["Maintenance"]}},
        {"nodes": ["rack9-*"]},
        {"select": {}},
        {"nodes": [], "select": None},
    ]
    for body in nothing:
        assert racks.post("/update/nodes", body).status_code in {400, 404}
    assert racks.dump() == before
    job = racks.run("update", [], select={"status": ["Allocated"], "host_group": ["service-master"]})
    assert (job["status"], job["nodes"]) == ("Complete", ["rack1-a", "rack1-b"])
    run = racks.clusterctl(
        "nodes", "commission", "rack2-*", "--status", "unallocated", "-g", "service-worker", "--wait", "--json"
    )
    assert run.returncode == 0, run.stderr
    assert sorted(racks.get("/info/nodes", host_group="service-worker")) == ["rack2-a", "rack2-b"]
    run = racks.clusterctl("nodes", "decommission", "--in-group", "service-worker", "--wait")
    assert run.returncode == 0, run.stderr
    listed = racks.clusterctl("--output", "jsonl", "nodes", "get", "--status", "Decommissioned")
    assert listed.stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("nodes update", 2, "no nodes given"),
        ("nodes update --all rack1-a", 2, "either names of nodes or --all"),
        ("nodes update --status nonsense", 2, "nonsense"),
        ("nodes update rack9-*", 1, 'no node matches "rack9-*"'),
        ("nodes get rack9-*", 1, 'no node matches "rack9-*"'),
    ],
)
def test_a_selection_that_means_nothing_is_refused(racks: Clusterm, arguments: str, code: int, said: str) -> None:
    run = racks.clusterctl(*arguments.split())
    assert (run.returncode, run.stdout) == (code, "")
    assert said in run.stderr
