"""The page of the settings: what it shows, what each role changes, and two users at once."""

import html
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from support.service import Clusterm

from clusterm.access import token_management
from clusterm.enums import TokenRole
from clusterm.settings import AnsibleSettings
from clusterm.store.engine import Store

OWN = {"Sec-Fetch-Site": "same-origin"}
PAGE = "/ui/settings"


@pytest.fixture(scope="module")
def browsers(module_clusterm: Clusterm) -> Iterator[dict[TokenRole, httpx.Client]]:
    """A client with a session for each role, at a service that asks for tokens."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.start()
    store = Store(f"sqlite:///{module_clusterm.database}")
    clients = {}
    for role in TokenRole:
        token = token_management.create(store, f"test-{role}", role, None)
        clients[role] = httpx.Client(base_url=module_clusterm.http.base_url, headers=OWN)
        assert clients[role].post("/ui/login", data={"token": token}).status_code == 303
        if role is TokenRole.ADMIN:
            module_clusterm.http.headers["Authorization"] = f"Bearer {token}"
    token_management.create(store, "leaver", TokenRole.VIEWER, None)
    store.close()
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def admin(browsers: dict[TokenRole, httpx.Client]) -> httpx.Client:
    return browsers[TokenRole.ADMIN]


def sent_back(page: str) -> dict[str, str]:
    """Return the fields of the page as a browser sends them unchanged."""
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    old = {name.removeprefix("old."): html.unescape(value) for name, value in hidden if name.startswith("old.")}
    return old | {f"old.{name}": value for name, value in old.items()}


def test_each_role_sees_what_it_may_change(browsers: dict[TokenRole, httpx.Client]) -> None:
    shown = {role: browser.get(PAGE).text for role, browser in browsers.items()}
    for role, page in shown.items():
        assert "playbook_location" in page
        assert ("Set the globals" in page) == (role is not TokenRole.VIEWER)
        assert ("Change the settings" in page) == ("leaver" in page) == (role is TokenRole.ADMIN)


def test_unchanged_values_change_nothing(module_clusterm: Clusterm, admin: httpx.Client) -> None:
    before = module_clusterm.get("/config"), module_clusterm.get("/info/jobs/timeline", kind="admin", limit=100)
    fields = sent_back(admin.get(PAGE).text)
    assert fields.keys() >= AnsibleSettings.model_fields.keys() - {*AnsibleSettings.fixed_over_rest()}
    assert admin.post(f"{PAGE}/ansible", data=fields).status_code == 303
    after = module_clusterm.get("/config"), module_clusterm.get("/info/jobs/timeline", kind="admin", limit=100)
    assert before == after


def test_an_admin_changes_settings_of_ansible(module_clusterm: Clusterm, admin: httpx.Client) -> None:
    fields = sent_back(admin.get(PAGE).text)
    given = {"forks": "7", "become": "true", "user": "deploy", "extra_variables": '{"api_token": "t0p"}'}
    assert admin.post(f"{PAGE}/ansible", data=fields | given).status_code == 303
    config = module_clusterm.get("/config")["ansible"]
    assert (config["forks"], config["become"], config["user"]) == (7, True, "deploy")
    page = admin.get(PAGE).text
    assert "t0p" not in page
    assert admin.post(f"{PAGE}/ansible", data=sent_back(page) | {"forks": "8"}).status_code == 303
    for name, value, reason in (
        ("forks", "many", "not valid JSON"),
        ("forks", "-1", "greater than or equal to 0"),
        ("host_groups", "{}", "at least one host group"),
    ):
        refused = admin.post(f"{PAGE}/ansible", data=sent_back(page) | {"old.forks": "8", "forks": "8", name: value})
        assert (refused.status_code in {400, 422}, reason in html.unescape(refused.text)) == (True, True), name
        assert f">{value}</textarea>" in refused.text or f'value="{value}"' in refused.text
    assert module_clusterm.get("/config")["ansible"]["forks"] == 8


def test_the_change_of_another_user_is_not_overwritten(module_clusterm: Clusterm, admin: httpx.Client) -> None:
    fields = sent_back(admin.get(PAGE).text)
    assert admin.post(f"{PAGE}/ansible", data=fields | {"become_user": "one"}).status_code == 303
    refused = admin.post(f"{PAGE}/ansible", data=fields | {"become_user": "two"})
    assert (refused.status_code, "has been changed since this page was loaded" in refused.text) == (422, True)
    assert module_clusterm.get("/config")["ansible"]["become_user"] == "one"


def test_an_operator_sets_globals_and_secrets_stay(
    module_clusterm: Clusterm, browsers: dict[TokenRole, httpx.Client]
) -> None:
    operator = browsers[TokenRole.OPERATOR]

    def set_globals(text: str) -> httpx.Response:
        fields = sent_back(operator.get(PAGE).text)
        return operator.post(f"{PAGE}/globals", data=fields | {"globals": text})

    assert set_globals("proxy=p\r\ndb_password=hunter2").status_code == 303
    page = operator.get(PAGE).text
    assert "hunter2" not in page
    masked = json.loads(sent_back(page)["globals"])
    assert set_globals(json.dumps(masked | {"proxy": "q"})).status_code == 303
    assert module_clusterm.get("/info/globals")["extra_vars"] == masked | {"proxy": "q"}
    refused = set_globals("ansible_connection=local")
    assert (refused.status_code, "ansible_connection" in refused.text) == (422, True)
    assert ">ansible_connection=local</textarea>" in refused.text
    stale = operator.post(f"{PAGE}/globals", data={"globals": "a=b", "old.globals": "{}"})
    assert stale.status_code == 422
    assert set_globals("").status_code == 303
    assert module_clusterm.get("/info/globals")["extra_vars"] == {}


def test_an_admin_drains_and_revokes(
    module_clusterm: Clusterm, browsers: dict[TokenRole, httpx.Client], admin: httpx.Client
) -> None:
    assert browsers[TokenRole.OPERATOR].post(f"{PAGE}/drain").status_code == 403
    assert admin.post(f"{PAGE}/drain").status_code == 303
    assert module_clusterm.get("/info/drain")["drained"]
    assert "Take new jobs again" in admin.get(PAGE).text
    assert admin.post(f"{PAGE}/undrain").status_code == 303
    assert not module_clusterm.get("/info/drain")["drained"]
    assert browsers[TokenRole.OPERATOR].post(f"{PAGE}/tokens/leaver/revoke").status_code == 403
    assert "Revoke leaver" in admin.get(PAGE).text
    assert admin.post(f"{PAGE}/tokens/leaver/revoke").status_code == 303
    assert "Revoke leaver" not in admin.get(PAGE).text
    assert admin.post(f"{PAGE}/tokens/leaver/revoke").status_code == 404
    [event] = module_clusterm.get("/info/jobs/timeline", kind="admin", by="test-admin")["items"][-1:]
    assert (event["event"], event["detail"]) == ("token_revoked", "leaver, viewer")
