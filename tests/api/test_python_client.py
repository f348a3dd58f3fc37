"""The Python client: every route, paging, following, errors as exceptions, and a restart of the service."""

import inspect
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.documents import DOCS, blocks
from support.host_keys import KEY
from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterctl import api
from clusterctl.api import (
    Client,
    NodesOptions,
    NotComplete,
    Refused,
    ServiceDown,
    Unauthorized,
    Unavailable,
    Usage,
    retry,
)
from clusterm.access import token_management
from clusterm.enums import Action, JobStatus, Outcome, Status, TokenRole
from clusterm.schemas import DiscoverRequest, ImportedNode, MonitoredNode, NodeSelection, NodesRequest
from clusterm.store.engine import Store

NOT_REACHED = {("GET", "/metrics"), ("GET", "/info/nodes")}
"""The metrics are for Prometheus; `/nodes` has the nodes in pages."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


@pytest.fixture(scope="module")
def store(service: Clusterm) -> Iterator[Store]:
    store = Store(f"sqlite:///{service.database}")
    yield store
    store.close()


@pytest.fixture
def client(service: Clusterm) -> Iterator[Client]:
    with Client(str(service.http.base_url)) as client:
        yield client


def test_the_methods_reach_every_route(service: Clusterm, client: Client, store: Store, tmp_path: Path) -> None:
    requests: list[httpx.Request] = []
    client.rest._http._http.event_hooks["request"].append(requests.append)
    nodes, jobs = client.nodes, client.jobs

    added = nodes.add("node1", "127.0.1.1", serial="a")
    assert added.inventory_state.name == "node1-a"
    report = nodes.report("discovered", [MonitoredNode(label="node2", serial="b", addr="127.0.1.2")])
    assert report.rejected == []
    imported = nodes.import_nodes([ImportedNode(host="h", label="node3", serial="c", addr="127.0.1.3")], groups={})
    assert [outcome.imported for outcome in imported.nodes] == [True]
    assert nodes.set("node1-a", host_vars={"rack": "a1"}).configuration_state.inventory_vars["rack"] == "a1"
    assert len(nodes.trust("node1-a", [KEY]).host_keys) == 1
    assert nodes.forget_key("node1-a").host_keys == []
    assert nodes.rename("node3-c", "node4-d").inventory_state.name == "node4-d"
    assert nodes.remove("node4-d").inventory_state.name == "node4-d"
    assert [node.inventory_state.name for node in nodes.list("node*")] == ["node1-a", "node2-b"]

    assert nodes.plan(Action.COMMISSION, "node1-a", host_group="service-master").objections == []
    first = nodes.commission("node1-a", host_group="service-master", extra_vars={"lines": 3})
    assert [line.text for line in jobs.follow(first)][1:] == ["line 1", "line 2", "line 3"]
    ended = jobs.wait(first)
    assert (ended.status, ended.outcomes) == (JobStatus.COMPLETE, {"node1-a": Outcome.PASSED})
    assert jobs.get() == jobs.get(first.id) == jobs.get(ended)
    assert [line.text for line in jobs.logs(first, grep="line", tail=1)] == ["line 3"]
    assert list(jobs.tasks(first)) == []
    assert list(jobs.log_matches(first, grep="LINE ", ignore_case=True)) == [2, 3, 4]
    assert jobs.grid(first).nodes == ["node1-a"]
    selected = NodeSelection(status=[Status.ALLOCATED])
    updated = jobs.wait(nodes.update(select=selected, limit_batch=1, extra_vars={"status": 2}))
    assert (updated.status, updated.nodes) == (JobStatus.ERRORED, ["node1-a"])
    assert jobs.diff(first, "last").after == updated.id
    assert jobs.plan_retry(failed_only=True).action is Action.UPDATE
    assert jobs.wait(jobs.retry(extra_vars={"status": 0})).retry_of == updated.id
    assert jobs.wait(nodes.run("update", "node1-a", extra_vars={"status": 0})).status is JobStatus.COMPLETE
    assert [action.name for action in nodes.actions()] == ["commission", "update", "decommission"]
    assert nodes.action("update").any_vars
    assert jobs.wait(nodes.decommission(["node1-a"])).status is JobStatus.COMPLETE
    waiting = nodes.discover("127.0.9.9", extra_vars={"until": str(tmp_path / "never")})
    with pytest.raises(NotComplete, match=r"Running after 0\.1 s"):
        wait_for(lambda: jobs.get(waiting).status is JobStatus.RUNNING, "the job")
        jobs.wait(waiting, timeout=0.1)
    jobs.cancel(cleanup=False)
    assert jobs.wait(waiting).status is JobStatus.CANCELLED
    assert [job.id for job in jobs.list(action=Action.DISCOVER)] == [waiting.id]

    assert nodes.get("node1-a").inventory_state.status is Status.DECOMMISSIONED
    (found,) = nodes.states(text="NODE1").nodes
    assert len(found.segments) > 5
    assert [node.inventory_state.name for node in nodes.list(text="127.0.1.2")] == ["node2-b"]
    newest = client.changes()
    assert client.changes(newest.event, wait=0.1) == newest
    assert client.changes(newest.event - 1) == newest
    assert nodes.explain("node1-a").status is Status.DECOMMISSIONED
    events = list(nodes.events("node1-a"))
    assert events[0].event == "discovered"
    assert [event for event in events if event.result] == [
        event for event in client.timeline(node="node1-a") if event.result
    ]
    assert next(nodes.follow_events("node1-a", limit=1)) == events[-1]
    assert next(client.follow_timeline(limit=1, node="node1-a")).node == "node1-a"

    assert client.globals.set({"proxy": "p"}) == client.globals.get()
    assert client.config.set({"ansible": {"user": "deploy"}})["ansible"]["user"] == "deploy"
    assert client.config.get()["ansible"]["user"] == "deploy"
    assert client.service.drain().drained
    with pytest.raises(Unavailable) as refused:
        nodes.discover("127.0.9.9")
    assert refused.value.code == "drained"
    assert not client.service.undrain().drained
    assert not client.service.drain_state().drained
    assert client.service.status().ready
    assert client.service.health().status == client.service.readiness().status == "ok"
    assert client.service.versions().sqlite
    assert any("clusterm listens on" in line for line in client.service.log())
    assert (client.service.me().role, client.service.me().expires_at) == (TokenRole.ADMIN, None)
    token_management.create(store, "brief", TokenRole.VIEWER, None)
    assert client.tokens.revoke("brief") in client.tokens.list()
    assert client.service.create_ui_link().path.startswith("/ui/")

    sent = {(request.method, request.url.path) for request in requests}
    missing = {
        (method.upper(), path.removeprefix("/v1"))
        for path, methods in service.get("/openapi.json")["paths"].items()
        for method in methods
        if not any(
            method.upper() == made and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path.removeprefix("/v1")), to)
            for made, to in sent
        )
    }
    assert missing == NOT_REACHED


def test_the_options_are_the_members_of_the_requests() -> None:
    given_otherwise = {"nodes", "addrs", "host_group"}
    assert set(NodesOptions.__annotations__) == set(NodesRequest.model_fields) - given_otherwise
    assert set(api.JobOptions.__annotations__) == set(DiscoverRequest.model_fields) - given_otherwise


def test_the_package_exports_each_class_whose_methods_a_client_has() -> None:
    with Client("127.0.0.1:1") as client:
        groups = {type(value) for name, value in vars(client).items() if name not in {"rest", "_note"}}
    assert groups <= {value for name in api.__all__ if inspect.isclass(value := getattr(api, name))}


def test_lists_are_read_page_by_page(service: Clusterm, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("jobs", "nodes"):
        monkeypatch.setattr(f"clusterctl.api.{module}.PAGE", 2)
    service.add_nodes("page-a", "page-b", "page-c", "page-d", "page-e")
    jobs = [service.run("discover", ["127.0.9.8"])["id"] for _ in range(3)]

    assert [node.inventory_state.name for node in client.nodes.list("page-*")] == [f"page-{each}" for each in "abcde"]
    assert [job.id for job in client.jobs.list()][:3] == jobs[::-1]


@pytest.mark.parametrize(
    ("ask", "code", "status"),
    [
        (lambda client: client.nodes.get("none-x"), "node_not_found", 404),
        (lambda client: client.jobs.get(10**6), "job_not_found", 404),
        (lambda client: client.nodes.discover([]), "no_nodes", 400),
        (lambda client: client.nodes.update("none-x", limit_batch=0), "invalid_request", 422),
    ],
)
def test_a_problem_is_an_exception_with_its_code(
    client: Client, ask: Callable[[Client], object], code: str, status: int
) -> None:
    with pytest.raises(Refused) as raised:
        ask(client)

    assert (raised.value.code, raised.value.status) == (code, status)
    assert raised.value.detail
    assert str(raised.value).startswith(raised.value.detail)


def test_a_restart_interrupts_neither_requests_nor_waits(new_clusterm: Clusterm, tmp_path: Path) -> None:
    new_clusterm.use_program(SCRIPTED)
    new_clusterm.start()
    new_clusterm.config["manager"]["addr"] = new_clusterm.http.base_url.netloc.decode()
    new_clusterm.add_nodes("node1-a")
    notes: list[str] = []

    with Client(str(new_clusterm.http.base_url), note=notes.append) as client:
        new_clusterm.stop()
        starting = threading.Timer(0.5, new_clusterm.start)
        starting.start()
        until = tmp_path / "go"
        job = client.nodes.commission("node1-a", host_group="service-master", extra_vars={"until": str(until)})
        starting.join()
        new_clusterm.stop()
        starting = threading.Timer(0.5, new_clusterm.start)
        starting.start()
        until.touch()
        assert client.jobs.wait(job).status is JobStatus.COMPLETE
        starting.join()
        assert [each.id for each in client.jobs.list()] == [job.id]

    assert set(notes) == {"clusterm does not answer; trying again"}


def test_a_service_that_stays_down_is_an_error_after_the_outage() -> None:
    began = time.monotonic()
    with Client("127.0.0.1:1", outage=0.3) as client, pytest.raises(ServiceDown, match="cannot reach clusterm"):
        client.jobs.get()
    assert time.monotonic() - began > 0.3
    with Client("127.0.0.1:1", outage=0) as client, pytest.raises(ServiceDown):
        client.nodes.discover("127.0.9.9")


class Clock:
    """A clock that moves only while a thread sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_wait_continues_for_a_minute_without_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    with Client("127.0.0.1:1", outage=1000) as client, pytest.raises(ServiceDown):
        client.jobs.wait(7)
    assert 60 < clock.now < 62


def test_the_client_finds_the_service_as_clusterctl_does(
    new_clusterm: Clusterm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    socket = new_clusterm.root / "socket"
    new_clusterm.config["manager"] |= {"auth": "token", "addr": f"unix:{socket}"}
    new_clusterm.start()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CLUSTERM_URL", f"unix:{socket}")
    monkeypatch.setenv("CLUSTERM_MANAGER__STATE_DIR", str(tmp_path))
    monkeypatch.delenv("CLUSTERM_TOKEN", raising=False)

    with Client() as client, pytest.raises(Unauthorized) as raised:
        client.service.status()
    assert (raised.value.status, raised.value.code) == (401, "token_required")
    with pytest.raises(Usage, match="no URL"):
        Client("ftp://host")
    with pytest.raises(Usage, match="no token in the argument `token`"):
        Client(token="two words")

    token = (new_clusterm.state_dir / "token").read_text().strip()
    monkeypatch.setenv("CLUSTERM_MANAGER__STATE_DIR", str(new_clusterm.state_dir))
    for finding in (Client(), Client(token=token), Client(token_file=str(new_clusterm.state_dir / "token"))):
        with finding as client:
            assert client.service.status().ready
    monkeypatch.setenv("CLUSTERM_CACERT", str(tmp_path / "missing"))
    with pytest.raises(Usage, match="cannot read --cacert"):
        Client("https://127.0.0.1:1")


SCRIPT = """
from clusterctl.api import Client, ProblemError
from clusterm.enums import JobStatus

with Client("cluster:9007", token="secret", timeout=5) as client:
    names: list[str] = [node.inventory_state.name for node in client.nodes.list(host_group=["service-worker"])]
    try:
        job = client.nodes.update(names, limit_batch=10, extra_vars={"version": "1.3"})
    except ProblemError as problem:
        code: str = problem.code
        raise
    for line in client.jobs.follow(job):
        print(line.node, line.text)
    failed: bool = client.jobs.wait(job).status is not JobStatus.COMPLETE
    client.nodes.update(names, limit_bach=10)  # type: ignore[call-arg]
    client.jobs.get(1.5)  # type: ignore[arg-type]
    wrong: int = client.jobs.get().desc  # type: ignore[assignment]
"""


def test_mypy_checks_programs_that_use_the_client(tmp_path: Path) -> None:
    tutorial = [block.text for block in blocks(DOCS / "tutorial" / "rolling-update.md") if block.language == "python"]
    assert len(tutorial) == 2
    for number, text in enumerate([SCRIPT, *tutorial]):
        (tmp_path / f"program{number}.py").write_text(text)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", *tmp_path.glob("*.py")],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
        capture_output=True,
        text=True,
        timeout=2 * WAIT_TIMEOUT_S,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
