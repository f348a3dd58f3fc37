"""Pages of the dashboard: what each role sees and may do, and how bad addresses are answered."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import Clusterm

from clusterm.access import token_management
from clusterm.enums import TokenRole
from clusterm.store.engine import Store

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens; its tests' own client has that of the host."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.start()
    token = (module_clusterm.state_dir / "token").read_text().strip()
    module_clusterm.http.headers["Authorization"] = f"Bearer {token}"
    module_clusterm.add_nodes("node1-a", "node2-b")
    return module_clusterm


@pytest.fixture(scope="module")
def browsers(service: Clusterm) -> Iterator[dict[TokenRole, httpx.Client]]:
    """A client with a session for each role."""
    store = Store(f"sqlite:///{service.database}")
    clients = {}
    for role in TokenRole:
        clients[role] = httpx.Client(base_url=service.http.base_url, headers=OWN)
        token = token_management.create(store, f"test-{role}", role, None)
        assert clients[role].post("/ui/login", data={"token": token}).status_code == 303
    store.close()
    yield clients
    for client in clients.values():
        client.close()


def test_an_operator_cancels_a_job_and_a_viewer_does_not(
    service: Clusterm, browsers: dict[TokenRole, httpx.Client], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = service.begin("commission", ["node1-a"], extra_vars={"until": str(gate)})
    page = f"/ui/jobs/{job['id']}"
    viewer, operator = browsers[TokenRole.VIEWER], browsers[TokenRole.OPERATOR]
    assert "Cancel this job" not in viewer.get(page).text
    refused = viewer.post(f"{page}/cancel")
    assert (refused.status_code, "needs the role operator" in refused.text) == (403, True)
    foreign = operator.post(f"{page}/cancel", headers={"Sec-Fetch-Site": "same-site"})
    assert foreign.status_code == 403
    assert service.job(job["id"])["cancel_requested_at"] is None
    assert "Cancel this job" in operator.get(page).text
    assert operator.post(f"{page}/cancel").headers["Location"] == page
    gate.touch()  # the cleanup waits for it, too
    ended = service.ended(job)
    assert (ended["status"], ended["cancel_requested_by"]) == ("Cancelled", "test-operator")
    assert operator.post(f"{page}/cancel").status_code == 409


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/nodes/none", 404),
        ("/ui/nodes?status=", 200),
        ("/ui/nodes?status=Broken", 422),
        ("/ui/jobs/99", 404),
        ("/ui/jobs/%3Cscript%3E", 400),
        ("/ui/jobs?before=0", 422),
        ("/ui/jobs?node=10.0.0.1", 200),
        ("/ui/jobs/99/log", 404),
        ("/ui/timeline?limit=0", 422),
        ("/ui/timeline?hours=0", 422),
        ("/ui/timeline/states?hours=9999999", 422),
        ("/ui/jobs/99/grid", 404),
        ("/ui/jobs/99/matches", 404),
        ("/ui/jobs/99/nodes", 404),
        ("/ui/jobs/99/tasks", 404),
        ("/ui/jobs/99/diff", 404),
        ("/ui/jobs/99/cell?node=x&task=1", 404),
        ("/ui/jobs/99/cell", 422),
        ("/ui/nothing", 404),
    ],
)
def test_bad_addresses(browsers: dict[TokenRole, httpx.Client], path: str, status: int) -> None:
    answer = browsers[TokenRole.VIEWER].get(path)
    assert answer.status_code == status
    assert "<script>" not in answer.text


def test_a_long_list_of_nodes_is_paged(service: Clusterm, browsers: dict[TokenRole, httpx.Client]) -> None:
    service.add_nodes(*(f"rack-{number:03}" for number in range(150)))
    viewer = browsers[TokenRole.VIEWER]
    first = viewer.get("/ui/nodes?q=RACK-")
    assert first.text.count("<tr>") == 101
    assert "150 of 152" in first.text
    second = viewer.get("/ui/nodes?q=RACK-&after=rack-099")
    assert second.text.count("<tr>") == 51
    assert "Next page" not in second.text
