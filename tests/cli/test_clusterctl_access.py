"""Where clusterctl has its token from, to whom it gives it, and what it says when that does not help."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm

from clusterctl.api.rest import RestClient
from clusterctl.errors import Refused
from clusterm.access import token_management
from clusterm.enums import TokenRole
from clusterm.store.engine import Store

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens, as it does by default."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


@pytest.fixture(scope="module")
def store(service: Clusterm) -> Iterator[Store]:
    store = Store(f"sqlite:///{service.database}")
    yield store
    store.close()


@pytest.fixture
def user(service: Clusterm, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who knows where the service is, and nothing of its state directory."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}
    own_state = {"CLUSTERM_MANAGER__STATE_DIR": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return clean | own_state | {"CLUSTERM_URL": str(service.http.base_url)}


def ctl(environment: dict[str, str], *arguments: str, stdin: str = "") -> Run:
    return subprocess.run(
        [BIN / "clusterctl", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )


class Recorder(BaseHTTPRequestHandler):
    """Answers as it is told to, and keeps what it was sent."""

    answers: list[tuple[int, dict[str, str], bytes]]
    seen: list[str | None]

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        status, headers, body = self.answers.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def another_service(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str | None]]]:
    """A service that answers as given; yields its URL and the tokens that came."""
    handler = type("Handler", (Recorder,), {"answers": list(answers), "seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.seen  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}


def test_on_the_service_s_own_host_it_finds_the_token_by_itself(service: Clusterm, user: dict[str, str]) -> None:
    user["CLUSTERM_MANAGER__STATE_DIR"] = str(service.state_dir)
    done = ctl(user, "nodes", "get", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {})


def test_without_a_token_it_says_what_to_do(user: dict[str, str]) -> None:
    done = ctl(user, "nodes", "get")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    for advice in ("requires a token", "--token-file", "CLUSTERM_TOKEN", "clusterctl login", "clusterm token create"):
        assert advice in done.stderr
    assert "(CLUSTERM_TOKEN is not set; " in done.stderr
    assert f"{user['XDG_CONFIG_HOME']}/clusterm/tokens.json does not exist" in done.stderr
    state_dir = user["CLUSTERM_MANAGER__STATE_DIR"] = str(Path(user["XDG_CONFIG_HOME"]).with_name("elsewhere"))
    done = ctl(user, "nodes", "get")
    assert f"; cannot read the token in {state_dir}/token: No such file or directory)" in done.stderr
    Path(state_dir).mkdir()
    for damaged in ("", "two words"):
        (Path(state_dir) / "token").write_text(damaged)
        assert f"; there is no token in {state_dir}/token: a token is one word" in ctl(user, "nodes", "get").stderr
    bundle = Path(user["XDG_CONFIG_HOME"]).with_name("bundle.tar.gz")
    assert ctl(user, "support-bundle", str(bundle)).returncode == 1
    assert not bundle.exists()


def test_login_and_logout(service: Clusterm, store: Store, user: dict[str, str], tmp_path: Path) -> None:
    token = token_management.create(store, "ann", TokenRole.VIEWER, None)
    refused = ctl(user, "login", stdin="clusterm_wrong\n")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "not known here" in refused.stderr
    file = tmp_path / "config" / "clusterm" / "tokens.json"
    assert not file.exists()

    done = ctl(user, "login", stdin=f"{token}\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert token not in done.stderr
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert json.loads(file.read_text()) == {user["CLUSTERM_URL"]: token}
    assert ctl(user, "nodes", "get").returncode == 0

    forbidden = ctl(user, "global", "set", "--extra-vars", "a=1")
    assert (forbidden.returncode, forbidden.stderr.count("\n")) == (1, 1)
    for part in ("needs the role operator", "the token ann has the role viewer", "clusterm token create"):
        assert part in forbidden.stderr
    token_management.revoke(store, "ann")
    revoked = ctl(user, "nodes", "get")
    assert (revoked.returncode, revoked.stderr.count("\n")) == (1, 1)
    for part in ("the token ann is revoked", str(file), "clusterctl login"):
        assert part in revoked.stderr

    assert "logged out" in ctl(user, "logout").stderr
    assert json.loads(file.read_text()) == {}
    assert "no token was stored" in ctl(user, "logout").stderr
    assert "requires a token" in ctl(user, "nodes", "get").stderr


def test_a_script_is_told_that_its_token_has_expired(store: Store, user: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "expired"
    file.write_text(token_management.create(store, "old", TokenRole.VIEWER, timedelta(microseconds=1)))
    done = ctl(user, "--token-file", str(file), "nodes", "get")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"the token old is expired (it is from {file})" in done.stderr


def test_tokens_are_listed_and_revoked_by_an_admin(store: Store, user: dict[str, str]) -> None:
    def make(name: str, role: TokenRole, lifetime: timedelta | None = None) -> dict[str, str]:
        return user | {"CLUSTERM_TOKEN": token_management.create(store, name, role, lifetime)}

    admin, viewer = make("chief", TokenRole.ADMIN), make("leaver", TokenRole.VIEWER, timedelta(days=1))
    me = json.loads(ctl(viewer, "whoami", "--json").stdout)
    assert (me["name"], me["role"], me["expires_at"] is None) == ("leaver", "viewer", False)
    assert ctl(admin, "whoami").stdout == "name     chief\nrole     admin\nexpires  never\n"
    assert "needs the role admin" in ctl(viewer, "token", "list").stderr
    assert "needs the role admin" in ctl(viewer, "token", "revoke", "chief").stderr
    listed = json.loads(ctl(admin, "token", "list", "--json").stdout)["items"]
    assert [token["name"] for token in listed][-2:] == ["chief", "leaver"]
    assert "digest" not in listed[0]
    revoked = ctl(admin, "token", "revoke", "leaver")
    assert (revoked.returncode, revoked.stderr) == (0, "the token leaver is revoked\n")
    assert ctl(viewer, "whoami").returncode == 1
    [row] = [line for line in ctl(admin, "token", "list").stdout.splitlines() if line.startswith("leaver")]
    assert row.split()[1:3] == ["viewer", "revoked"]
    again = ctl(admin, "token", "revoke", "leaver")
    assert (again.returncode, "list the tokens with: clusterctl token list" in again.stderr) == (1, True)


def test_a_token_goes_nowhere_else(user: dict[str, str]) -> None:
    with (
        another_service((200, JSON, b"{}")) as (elsewhere, strayed),
        another_service((307, {"Location": f"{elsewhere}/info/nodes"}, b"")) as (url, sent),
    ):
        done = ctl(user | {"CLUSTERM_TOKEN": "clusterm_x"}, "--url", url, "nodes", "get")
    assert (done.returncode, sent, strayed) == (3, ["Bearer clusterm_x"], [])


def test_completion_has_the_token_too(service: Clusterm, user: dict[str, str]) -> None:
    user |= {"CLUSTERM_TOKEN": (service.state_dir / "token").read_text().strip()}
    body = {"monitor_event": {"name": "discovered", "nodes": [{"label": "node1", "serial": "a", "addr": "127.0.1.1"}]}}
    headers = {"Authorization": f"Bearer {user['CLUSTERM_TOKEN']}"}
    assert service.post("/monitor/event", body, headers=headers).status_code == 200
    words = {"COMP_WORDS": "clusterctl node get ", "COMP_CWORD": "3", "_CLUSTERCTL_COMPLETE": "complete_bash"}
    assert ctl(user | words).stdout == "node1-a\n"
    del user["CLUSTERM_TOKEN"]
    assert ctl(user | words).stdout.strip() == ""


def test_reads_wait_when_they_come_too_often() -> None:
    busy = (429, {**PROBLEM, "Retry-After": "1"}, b'{"title": "", "status": 429, "detail": "too often"}')
    later = (429, {**PROBLEM, "Retry-After": "60"}, busy[2])
    with another_service(busy, (200, JSON, b'{"drained": false}'), later) as (url, seen):
        client = RestClient(url, lambda _: None)
        assert client.drain_state() == {"drained": False}
        with pytest.raises(Refused, match="too often"):
            client.drain_state()
        client.close()
    assert len(seen) == 3
