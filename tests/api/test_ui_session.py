"""Sessions of the dashboard: sign-in, one-time links, expiry, sign-out, and requests of foreign pages."""

import itertools
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from support.service import Clusterm

from clusterm.access import token_management
from clusterm.enums import TokenRole
from clusterm.store.engine import Store

ADDRESSES = itertools.count(10)
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens, as it does by default."""
    del module_clusterm.config["manager"]["auth"]
    return module_clusterm.start()


@pytest.fixture(scope="module")
def store(service: Clusterm) -> Iterator[Store]:
    store = Store(f"sqlite:///{service.database}")
    yield store
    store.close()


@pytest.fixture
def browser(service: Clusterm) -> Iterator[httpx.Client]:
    """A client that keeps cookies, and has an address of its own, by which attempts are counted."""
    transport = httpx.HTTPTransport(local_address=f"127.0.0.{next(ADDRESSES)}")
    with httpx.Client(base_url=service.http.base_url, transport=transport) as client:
        yield client


def token_of(service: Clusterm) -> str:
    return (service.state_dir / "token").read_text().strip()


def sign_in(browser: httpx.Client, token: str, to: str = "/ui/") -> httpx.Response:
    return browser.post("/ui/login", data={"token": token, "to": to}, headers=OWN)


def is_signed_in(browser: httpx.Client) -> bool:
    return browser.get("/ui/session").status_code == 204


def test_a_token_opens_a_session_and_signing_out_ends_it(service: Clusterm, browser: httpx.Client) -> None:
    first = browser.get("/ui/?x=1")
    assert (first.status_code, first.headers["Location"]) == (303, "/ui/login?to=%2Fui%2F%3Fx%3D1")
    answer = sign_in(browser, token_of(service), "/ui/?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/?x=1")
    cookie = answer.headers["Set-Cookie"]
    assert re.match(rf"clusterm-{browser.base_url.port}=[\w-]{{43}}; ", cookie)
    assert {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    value = cookie.partition("=")[2].partition(";")[0]
    page = browser.get("/ui/")
    assert "local (operator)" in page.text
    assert token_of(service) not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert value.encode() not in service.database.read_bytes()
    assert browser.post("/ui/logout", headers=OWN).headers["Location"] == "/ui/login"
    assert "clusterm-" not in str(browser.cookies)
    browser.cookies.set(f"clusterm-{browser.base_url.port}", value)
    assert not is_signed_in(browser)


@pytest.mark.parametrize("token", ["", "clusterm_unknown", "\udcff'<script>"])
def test_a_wrong_token_is_refused(browser: httpx.Client, token: str) -> None:
    answer = sign_in(browser, token.encode("utf-8", "replace").decode())
    assert answer.status_code == 401
    assert "Not signed in" in answer.text
    assert "<script>" not in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/docs", "/ui/../docs#", "/ui/\\evil", ""])
def test_sign_in_leads_to_the_dashboard_only(service: Clusterm, browser: httpx.Client, to: str) -> None:
    answer = sign_in(browser, token_of(service), to)
    assert httpx.URL("http://host/").join(answer.headers["Location"]).host == "host"
    assert answer.headers["Location"].startswith("/ui/")


def test_attempts_are_limited(service: Clusterm, browser: httpx.Client) -> None:
    answers = [sign_in(browser, "clusterm_guessed") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) in range(1, 7)
    assert sign_in(browser, token_of(service)).status_code == 429


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_a_foreign_page_neither_signs_in_nor_out(
    service: Clusterm, browser: httpx.Client, headers: dict[str, str]
) -> None:
    form = {"token": token_of(service)}
    assert browser.post("/ui/login", data=form, headers=headers).status_code == 403
    assert sign_in(browser, token_of(service)).status_code == 303
    assert browser.post("/ui/logout", headers=headers).status_code == 403
    assert is_signed_in(browser)


def test_an_old_browser_without_fetch_metadata_signs_in(service: Clusterm, browser: httpx.Client) -> None:
    headers = {"Origin": str(service.http.base_url).rstrip("/")}
    assert browser.post("/ui/login", data={"token": token_of(service)}, headers=headers).status_code == 303


def test_cookies_count_in_the_dashboard_only_and_not_beside_a_token(service: Clusterm, browser: httpx.Client) -> None:
    sign_in(browser, token_of(service))
    for path in ("/info/nodes", "/v1/info/status", "/metrics", "/config"):
        assert browser.get(path).status_code == 401, path
    assert browser.post("/manager/drain", headers=OWN).status_code == 401
    assert browser.get("/ui/", headers={"Authorization": "Bearer clusterm_unknown"}).status_code == 303
    assert browser.get("/ui/").status_code == 200


def test_a_session_ends_with_its_token(store: Store, browser: httpx.Client) -> None:
    sign_in(browser, token_management.create(store, "brief", TokenRole.VIEWER, None))
    assert "brief (viewer)" in browser.get("/ui/").text
    token_management.revoke(store, "brief")
    assert browser.get("/ui/").status_code == 303


@pytest.mark.parametrize(("column", "hours"), [("created_at", 12), ("seen_at", 1)])
def test_a_session_expires(service: Clusterm, browser: httpx.Client, column: str, hours: int) -> None:
    def set_back(by: timedelta) -> None:
        moment = (datetime.now(UTC) - by).replace(tzinfo=None).isoformat(" ", timespec="microseconds")
        with sqlite3.connect(service.database) as database:
            database.execute(f"UPDATE web_sessions SET {column} = ?", (moment,))
        database.close()

    sign_in(browser, token_of(service))
    set_back(timedelta(hours=hours, minutes=-1))
    assert is_signed_in(browser)
    set_back(timedelta(hours=hours))
    assert not is_signed_in(browser)


def test_use_keeps_a_session_open(service: Clusterm, browser: httpx.Client) -> None:
    sign_in(browser, token_of(service))
    with sqlite3.connect(service.database) as database:
        database.execute("UPDATE web_sessions SET seen_at = datetime('now', '-59 minutes') || '.000000'")
    assert is_signed_in(browser)
    [(stale,)] = database.execute("SELECT count(*) FROM web_sessions WHERE seen_at > datetime('now', '-1 minute')")
    database.close()
    assert stale == 1


def test_a_link_works_once(service: Clusterm, browser: httpx.Client) -> None:
    bearer = {"Authorization": f"Bearer {token_of(service)}"}
    link = service.http.post("/ui-links", headers=bearer).json()
    assert link["url"] == f"{str(service.http.base_url).rstrip('/')}{link['path']}"
    foreign = browser.get(link["path"], headers={"Sec-Fetch-Site": "cross-site"})
    assert (foreign.status_code, "Set-Cookie" in foreign.headers) == (403, False)
    assert browser.get(link["path"], headers={"Sec-Fetch-Site": "none"}).headers["Location"] == "/ui/"
    assert is_signed_in(browser)
    again = browser.get(link["path"])
    assert again.status_code == 401
    assert "run clusterctl ui again" in again.text
    assert link["path"].rpartition("/")[2] not in service.log.read_text()
    assert service.http.post("/ui-links").status_code == 401


def test_pages_have_a_strict_policy_and_files_are_kept_permanently(service: Clusterm) -> None:
    page = service.http.get("/ui/login")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    files = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page.text)
    assert {file.rpartition(".")[2] for file in files} == {"css", "js", "svg"}
    for file in files:
        answer = service.http.get(file)
        assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
        assert "immutable" in answer.headers["Cache-Control"]
    assert service.http.get("/ui/static/000000000000/app.css").status_code == 404


def test_without_authentication_pages_are_open_and_foreign_pages_change_nothing(new_clusterm: Clusterm) -> None:
    new_clusterm.start()
    assert new_clusterm.http.get("/ui/").status_code == 200
    assert new_clusterm.http.post("/ui/logout", headers={"Origin": "https://evil.example"}).status_code == 403
    assert new_clusterm.http.post("/ui-links").json()["path"] == "/ui/"


def test_it_can_be_switched_off(new_clusterm: Clusterm) -> None:
    new_clusterm.config["manager"]["ui"] = False
    new_clusterm.start()
    for method, path in (("GET", "/ui/"), ("GET", "/ui/login"), ("POST", "/ui/login"), ("POST", "/ui-links")):
        assert new_clusterm.http.request(method, path).status_code == 404, path


def test_it_works_below_the_path_of_a_proxy(new_clusterm: Clusterm) -> None:
    new_clusterm.config["manager"]["root_path"] = "/cluster"
    del new_clusterm.config["manager"]["auth"]
    new_clusterm.start()
    with httpx.Client(base_url=new_clusterm.http.base_url) as browser:
        assert browser.get("/cluster/ui/").headers["Location"] == "/cluster/ui/login?to=%2Fui%2F"
        assert 'action="/cluster/ui/login"' in browser.get("/ui/login").text
        assert sign_in(browser, token_of(new_clusterm)).headers["Location"] == "/cluster/ui/"
