"""Selections of nodes in requests and commands."""

from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm


@pytest.fixture(scope="module")
def racks(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
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
    for path in ("/nodes", "/info/nodes"):
        first = racks.get(path, limit=3)
        assert first == {"items": [every[name] for name in ("rack1-a", "rack1-b", "rack2-a")], "next": "rack2-a"}
        assert racks.get(path, cursor=first["next"]) == {"items": [every["rack2-b"]], "next": None}
    assert racks.get("/nodes") == {"items": list(every.values()), "next": None}
    assert racks.get("/nodes", status="Allocated", limit=1) == {"items": [every["rack1-a"]], "next": "rack1-a"}
    assert racks.http.get("/info/nodes", params={"limit": 1}).headers["Deprecation"].startswith("@")
    assert not [path for path in ("/nodes", "/info/nodes") if "Deprecation" in racks.http.get(path).headers]
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
