"""Who is let in to what: tokens over REST, on the service's command line, and in the service's own files."""

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for
from typer.testing import CliRunner, Result

from clusterm.access import token_management
from clusterm.cli.main import cli
from clusterm.enums import TokenRole
from clusterm.errors import ClustermError
from clusterm.store.engine import Store
from clusterm.store.retention import delete_job

ADMIN_ONLY = {
    *(("POST", path) for path in ("/config", "/manager/drain", "/manager/undrain", "/tokens/{name}/revoke")),
    ("GET", "/tokens"),
}
CLOSED = {("GET", "/info/service-log")}
"""What viewers may not GET."""
LOOKS = {("POST", "/plan/{action}/nodes"), ("POST", "/ui-links")}
"""What viewers may POST, for it changes nothing."""
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


def with_tokens(clusterm: Clusterm, **manager: Any) -> Clusterm:
    """Take back what support.service says, so that the service asks for tokens as it does by default."""
    del clusterm.config["manager"]["auth"]
    clusterm.config["manager"] |= manager
    clusterm.use_program(SCRIPTED)
    return clusterm


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens; its tests' own client has that of the host."""
    with_tokens(module_clusterm).start()
    module_clusterm.http.headers.update(bearer((module_clusterm.state_dir / "token").read_text().strip()))
    module_clusterm.add_nodes("node1-a", "node2-b")
    return module_clusterm


@pytest.fixture(scope="module")
def store(service: Clusterm) -> Iterator[Store]:
    """The store of the service that is running."""
    store = Store(f"sqlite:///{service.database}")
    yield store
    store.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_command(service: Clusterm, *arguments: str) -> Result:
    """Run `clusterm token` beside a service, in this process: it takes long to load."""
    return CliRunner().invoke(cli, ["token", *arguments], env={"CLUSTERM_CONFIG": str(service.root / "clusterm.json")})


def is_refused(response: httpx.Response, status: int) -> bool:
    return (
        response.status_code == status
        and response.headers["Content-Type"] == "application/problem+json"
        and response.json()["status"] == status
        and response.headers["WWW-Authenticate"].startswith('Bearer realm="clusterm"')
    )


# Every route


def test_every_route_lets_in_whom_it_should(service: Clusterm, store: Store) -> None:
    def make(name: str, role: TokenRole, lifetime: timedelta | None = None) -> str:
        return token_management.create(store, f"walk-{name}", role, lifetime)

    revoked = make("revoked", TokenRole.ADMIN)
    token_management.revoke(store, "walk-revoked")
    strangers: dict[str, dict[str, str]] = {
        "no token": {},
        "another scheme": {"Authorization": "Basic YTpi"},
        "an empty token": {"Authorization": "Bearer"},
        "an unknown token": bearer("clusterm_unknown"),
        "a token that is no ASCII": {"Authorization": b"Bearer \xff\xfe".decode("latin-1")},
        "an expired token": bearer(make("expired", TokenRole.ADMIN, timedelta(microseconds=1))),
        "a revoked token": bearer(revoked),
    }
    roles = [(role, bearer(make(role, role))) for role in TokenRole]
    wrong: list[tuple[object, ...]] = []
    ranks = list(TokenRole)
    document = service.get("/openapi.json")
    with httpx.Client(base_url=service.http.base_url) as anybody:
        for path, item in document["paths"].items():
            for method in map(str.upper, item):
                route = (method, path.removeprefix("/v1"))
                needed = (
                    TokenRole.ADMIN
                    if route in ADMIN_ONLY
                    else ranks[(method != "GET" and route not in LOOKS) or route in CLOSED]
                )
                if item[method.lower()]["security"] != ([] if route in OPEN else [{"token": [needed]}]):
                    wrong.append((*route, "is described otherwise"))
                for what, headers in strangers.items():
                    answer = ask(anybody, method, path, headers)
                    if answer.status_code in {401, 403} if route in OPEN else not is_refused(answer, 401):
                        wrong.append((*route, what, answer.status_code))
                for role, headers in roles:
                    answer = ask(anybody, method, path, headers)
                    enough = route in OPEN or ranks.index(role) >= ranks.index(needed)
                    if answer.status_code in {401, 403} if enough else not is_refused(answer, 403):
                        wrong.append((*route, role, answer.status_code))
    assert not wrong, "\n".join(map(str, wrong))
    assert service.post("/manager/undrain", headers=roles[-1][1]).status_code == 200


def ask(anybody: httpx.Client, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
    """Ask for what nothing comes of: the body is broken, or there is no such node or job."""
    url = re.sub(r"{\w+}", lambda name: {"{action}": "update", "{name}": "nobody-x"}.get(name[0], "999999"), path)
    every = {"Content-Type": "application/json", **headers}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in every.items()]
    return anybody.request(method, url, headers=encoded, content=None if method == "GET" else "{")


def test_what_holds_nothing_of_the_cluster_is_open(service: Clusterm) -> None:
    with httpx.Client(base_url=service.http.base_url) as client:
        assert [client.get(path).status_code for path in ("/docs", "/openapi.json", "/nowhere")] == [200, 200, 404]
    scheme = service.get("/openapi.json")["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_a_request_is_refused_before_its_body_is_read(service: Clusterm) -> None:
    with httpx.Client(base_url=service.http.base_url) as client:
        answer = client.post("/globals", content=b" " * 1_000_000, headers={"Content-Type": "application/json"})
    assert is_refused(answer, 401)


def test_refusals_say_what_to_do(service: Clusterm, store: Store) -> None:
    def said(headers: dict[str, str], path: str = "/info/nodes") -> tuple[str, str]:
        method = "GET" if path.startswith("/info") else "POST"
        answer = httpx.request(method, f"{service.http.base_url}{path}", headers=headers)
        return answer.json()["detail"], answer.headers["WWW-Authenticate"]

    viewer = bearer(token_management.create(store, "said", TokenRole.VIEWER, None))
    assert said({}) == ("this needs a token, sent as: Authorization: Bearer TOKEN", 'Bearer realm="clusterm"')
    invalid = 'Bearer realm="clusterm", error="invalid_token"'
    assert said(bearer("x")) == ("this token is not known here", invalid)
    scope = 'Bearer realm="clusterm", error="insufficient_scope"'
    assert said(viewer, "/manager/drain") == ("this needs the role admin; the token said has the role viewer", scope)
    token_management.revoke(store, "said")
    assert said(viewer) == ("the token said is revoked", invalid)


def test_answers_that_need_a_token_are_not_stored(service: Clusterm) -> None:
    anonymous = httpx.get(f"{service.http.base_url}/info/nodes")
    for answer in (service.http.get("/info/nodes"), service.http.get("/info/node/none-x"), anonymous):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Authorization" in answer.headers["Vary"]
    assert "Cache-Control" not in service.http.get("/healthz").headers


def test_head_needs_the_token_that_get_needs(service: Clusterm) -> None:
    with httpx.Client(base_url=service.http.base_url) as client:
        assert client.head("/info/nodes").status_code == 401
        assert client.head("/readyz").status_code == 200


def test_each_token_has_its_own_idempotency_keys(service: Clusterm, store: Store) -> None:
    ann, ben = (bearer(token_management.create(store, name, TokenRole.OPERATOR, None)) for name in ("keyed", "other"))
    key = {"Idempotency-Key": "nightly"}
    first = service.post("/discover/nodes", {"addrs": ["127.0.8.1"]}, headers={**ann, **key})
    service.ended(first.json())
    second = service.post("/discover/nodes", {"addrs": ["127.0.8.2"]}, headers={**ben, **key})
    assert (first.status_code, second.status_code) == (200, 200), second.text
    service.ended(second.json())
    again = service.post("/discover/nodes", {"addrs": ["127.0.8.1"]}, headers={**ann, **key})
    assert again.json()["id"] == first.json()["id"]
    refused = service.post("/discover/nodes", {"addrs": ["127.0.8.3"]}, headers={**ann, **key})
    assert refused.status_code == 422


def test_a_key_of_the_former_version_is_recognized(service: Clusterm, store: Store) -> None:
    body = {"addrs": ["127.0.8.4"]}
    job = service.post("/discover/nodes", body, headers={"Idempotency-Key": "former"}).json()
    service.ended(job)
    with store.write() as session:
        session.connection().exec_driver_sql("UPDATE idempotency_keys SET key = 'former' WHERE key = 'local:former'")
    again = service.post("/discover/nodes", body, headers={"Idempotency-Key": "former"})
    assert again.json()["id"] == job["id"]


def test_a_repeated_request_whose_job_was_deleted_is_not_executed_again(service: Clusterm, store: Store) -> None:
    body, key = {"addrs": ["127.0.8.5"]}, {"Idempotency-Key": "deleted"}
    job = service.ended(service.post("/discover/nodes", body, headers=key).json())
    assert delete_job(store, job["id"])
    again = service.post("/discover/nodes", body, headers=key)
    assert again.status_code == 410
    assert again.json()["detail"].startswith("this request was executed at 2")
    assert f"it was for job {job['id']}, which has ended and was deleted" in again.json()["detail"]
    assert not [each for each in service.get("/info/jobs")["items"] if each["id"] > job["id"]]


def test_anonymous_requests_hardly_fill_the_log(service: Clusterm) -> None:
    before = service.log.stat().st_size
    with httpx.Client(base_url=service.http.base_url) as client:
        for _ in range(200):
            assert client.post(f"/{'x' * 30_000}").status_code == 404
    assert 0 < service.log.stat().st_size - before < 60_000


# What a token's name is for


def test_the_history_names_who_asked(service: Clusterm, store: Store) -> None:
    ann, ben = (bearer(token_management.create(store, name, TokenRole.OPERATOR, None)) for name in ("ann", "ben"))
    gate = service.root / "gate"
    body = {"nodes": ["node1-a"], "host_group": "service-master", "extra_vars": {"until": str(gate)}}
    job = service.post("/commission/nodes", body, headers=ann).json()
    wait_for(lambda: service.job(job["id"], logs=False)["steps"], "the first step")
    cancelled = service.post(f"/job/{job['id']}/cancel", {"cleanup": False}, headers=ben)
    assert cancelled.status_code == 200, cancelled.text
    ended = service.ended(job)
    assert (ended["requested_by"], ended["cancel_requested_by"]) == ("ann", "ben")
    assert ended["error"].startswith("cancelled by ben at ")
    service.post("/node/node2-b/set", {"vars": {"rack": 7}}, headers=ben)
    events = service.get("/info/node/node1-a/events")["items"] + service.get("/info/node/node2-b/events")["items"]
    assert {(event["event"], event["by"]) for event in events} >= {("commissioned", "ann"), ("changed", "ben")}
    service.post("/globals", {"extra_vars": {}}, headers=ann)
    assert "the globals were set by ann" in service.log.read_text()


# Revoking


def test_a_token_is_good_at_once_and_until_it_is_revoked(service: Clusterm) -> None:
    command = [str(BIN / "clusterm"), "token", "create", "--name", "coming", "--role", "viewer"]
    environment = {**os.environ, "CLUSTERM_CONFIG": str(service.root / "clusterm.json")}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_TIMEOUT_S, check=True)
    assert made.stderr == ""
    token = made.stdout.strip()
    assert re.fullmatch(r"clusterm_[\w-]{43}", token)
    assert service.http.get("/info/nodes", headers=bearer(token)).status_code == 200
    assert token_command(service, "revoke", "coming").exit_code == 0
    assert is_refused(service.http.get("/info/nodes", headers=bearer(token)), 401)


@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream"])
def test_revoking_ends_an_open_stream(service: Clusterm, store: Store, tmp_path: Path, accept: str) -> None:
    token = token_management.create(store, "following", TokenRole.VIEWER, None)
    gate = tmp_path / "gate"
    job = service.begin("discover", ["127.0.9.9"], extra_vars={"lines": 3, "until": str(gate)})
    try:
        path = f"/info/logs/{job['id']}?follow=true"
        with service.http.stream(
            "GET", path, headers={**bearer(token), "Accept": accept}, timeout=WAIT_TIMEOUT_S
        ) as response:
            arrived = response.iter_raw()
            next(arrived)
            token_management.revoke(store, "following")
            rest = b"".join(arrived)  # and that it ends before the timeout, though the job goes on
        assert b"end" not in rest
        assert service.job(job["id"], logs=False)["status"] == "Running"
    finally:
        gate.touch()
        service.ended(job)


# The command


def test_tokens_are_listed_without_their_secrets(service: Clusterm, store: Store) -> None:
    token = token_management.create(store, "listed", TokenRole.ADMIN, timedelta(days=30))
    table = token_command(service, "list").stdout
    (line,) = [line for line in table.splitlines() if line.startswith("listed ")]
    assert re.fullmatch(r"listed +admin +valid +\S{19}Z +\S{19}Z", line)
    assert table.split("\n")[0].split() == [
        *("NAME", "ROLE", "STATUS", "CREATED", "EXPIRES", "REVOKED", "LAST", "USED"),
    ]
    shown = token_command(service, "list", "--json").stdout
    (about,) = [each for each in json.loads(shown) if each["name"] == "listed"]
    assert (about["role"], about["status"], about["revoked_at"]) == ("admin", "valid", None)
    connection = sqlite3.connect(service.database)
    dump = "\n".join(connection.iterdump())
    connection.close()
    for text in (table, shown, dump):
        assert "listed" in text
        assert token not in text
        assert token.removeprefix("clusterm_") not in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create", "--name", "local", "--role", "viewer"], "there is a token local already"),
        (["create", "--name", "a b", "--role", "viewer"], "cannot be the name of a token"),
        (["create", "--name", "ann\x1b[2J", "--role", "viewer"], "cannot be the name of a token"),
        (["create", "--name", "x", "--role", "viewer", "--expires", "soon"], "no lifetime"),
        (["revoke", "nobody"], "clusterm token list"),
    ],
)
def test_what_makes_no_sense_is_one_line(service: Clusterm, arguments: list[str], reason: str) -> None:
    done = token_command(service, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert isinstance(done.exception, ClustermError)  # of which `main` makes one line
    assert re.fullmatch(r"[^\n\x1b]*", str(done.exception))
    assert reason in str(done.exception)


# The token for those on the same host


def test_the_host_s_token_is_made_once_and_only_its_owner_can_read_it(new_clusterm: Clusterm) -> None:
    file = with_tokens(new_clusterm).start().state_dir / "token"
    made = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    new_clusterm.restart()
    assert file.read_text() == made
    assert made.strip() not in new_clusterm.log.read_text()
    new_clusterm.http.headers.update(bearer(made.strip()))
    new_clusterm.get("/info/nodes")
    new_clusterm.stop()
    (about,) = json.loads(token_command(new_clusterm, "list", "--json").stdout)
    assert about["last_used_at"] is not None


# Nobody is asked


def serve(clusterm: Clusterm, *options: str) -> str:
    clusterm.options = list(options)
    clusterm.config["manager"] |= {"addr": "0.0.0.0:0", "auth": "none"}
    clusterm.start(fails=not options)
    return clusterm.log.read_text()


def test_no_tokens_only_where_nobody_else_can_reach_the_service(new_clusterm: Clusterm) -> None:
    said = serve(new_clusterm)
    assert said.count("\n") == 1
    assert said.startswith("clusterm: ")
    assert "--insecure" in said
    assert not (new_clusterm.state_dir / "token").exists()
    assert "clusterm listens on" in serve(new_clusterm, "--insecure")
    new_clusterm.add_nodes("node1-a")


# Health


def test_webhooks_are_named_to_viewers_only(new_clusterm: Clusterm) -> None:
    clusterm = with_tokens(new_clusterm)
    webhook = {"name": "pager-of-ann", "url": "http://127.0.0.1:1/"}
    clusterm.config["notifications"] = {"webhooks": [webhook]}
    clusterm.start()
    token = bearer((clusterm.state_dir / "token").read_text().strip())
    clusterm.http.headers.update(token)
    clusterm.run("discover", ["127.0.9.9"], extra_vars={"status": 1})
    wait_for(lambda: "pager-of-ann" in clusterm.http.get("/readyz").text, "the webhook to fail")
    with httpx.Client(base_url=clusterm.http.base_url) as client:
        for headers in ({}, bearer("unknown")):
            shown = client.get("/readyz", headers=headers).json()
            assert "pager-of-ann" not in str(shown)
            assert shown["checks"]["notifications"]["ok"] is False
            assert shown["degraded"] == ["webhooks cannot be notified; a viewer sees which in /info/status"]


# Limits


def test_a_token_that_asks_too_often(new_clusterm: Clusterm) -> None:
    clusterm = with_tokens(new_clusterm, requests_per_minute=3).start()
    headers = bearer((clusterm.state_dir / "token").read_text().strip())
    answers = [clusterm.http.get("/info/drain", headers=headers) for _ in range(5)]
    assert [answer.status_code for answer in answers[:4]] == [200, 200, 200, 429]
    assert answers[4].headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answers[4].headers["Retry-After"]) <= 20
    assert "manager.requests_per_minute" in answers[4].json()["detail"]
    assert clusterm.http.get("/healthz").status_code == 200
    made = token_command(clusterm, "create", "--name", "other", "--role", "viewer").stdout.strip()
    assert clusterm.http.get("/info/drain", headers=bearer(made)).status_code == 200, "limits are each token's own"


def test_a_token_with_too_many_streams(new_clusterm: Clusterm, tmp_path: Path) -> None:
    clusterm = with_tokens(new_clusterm, max_streams=2).start()
    clusterm.http.headers.update(bearer((clusterm.state_dir / "token").read_text().strip()))
    gate = tmp_path / "gate"
    job = clusterm.begin("discover", ["127.0.9.9"], extra_vars={"until": str(gate)})
    path = f"/info/logs/{job['id']}?follow=true"
    with clusterm.http.stream("GET", path) as first, clusterm.http.stream("GET", path) as second:
        assert (first.status_code, second.status_code) == (200, 200)
        third = clusterm.http.get(path)
        assert (third.status_code, third.headers["Content-Type"]) == (429, "application/problem+json")
        assert int(third.headers["Retry-After"]) > 0
        assert clusterm.http.get(f"/info/logs/{job['id']}").status_code == 200, "what does not stay open is no stream"

    def has_room() -> bool:
        with clusterm.http.stream("GET", path) as response:
            return response.status_code == 200

    wait_for(has_room, "the streams that were left to be forgotten")
    gate.touch()
