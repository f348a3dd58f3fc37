"""The dashboard in a real browser: sign-in, every page, policy, widths and themes."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, sync_playwright
from support.requirements import path_of, requires
from support.service import Clusterm

pytestmark = requires("chromium")

FLAGS = [
    "--no-sandbox",  # root may not have one
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",  # or it looks for hosts of its own
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
PAGES = ["/ui/"]
"""The pages that need a session."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens, as it does by default."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.start()
    token = (module_clusterm.state_dir / "token").read_text().strip()
    module_clusterm.http.headers["Authorization"] = f"Bearer {token}"
    module_clusterm.add_nodes("node1-a", "node2-b")
    return module_clusterm


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=path_of("chromium"), args=FLAGS, headless=True
        )
        yield context.pages[0]
        context.close()


def address(service: Clusterm, path: str) -> str:
    return str(service.http.base_url.join(path))


def sign_in(service: Clusterm, page: Page, path: str = "/ui/") -> None:
    page.goto(address(service, path))
    page.get_by_label("Token").fill(service.http.headers["Authorization"].removeprefix("Bearer "))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()


def test_a_wanted_page_is_shown_after_the_sign_in_until_the_sign_out(service: Clusterm, page: Page) -> None:
    sign_in(service, page, PAGES[-1])
    assert urlsplit(page.url).path == PAGES[-1]
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()
    page.goto(address(service, "/ui/"))
    assert urlsplit(page.url).path == "/ui/login"


def test_a_link_opens_the_dashboard(service: Clusterm, page: Page) -> None:
    page.goto(service.post("/ui-links").json()["url"])
    page.get_by_role("heading", name="Overview").wait_for()
    assert urlsplit(page.url).path == "/ui/"


def test_a_link_on_a_page_of_another_site_leads_to_the_page(service: Clusterm, page: Page, tmp_path: Path) -> None:
    sign_in(service, page)
    wanted = address(service, "/ui/?x=1")
    other = tmp_path / "message.html"
    other.write_text(f'<a href="{wanted}">look</a>')
    page.goto(other.as_uri())
    page.get_by_role("link").click()
    page.get_by_role("heading", name="Overview").wait_for()
    assert urlsplit(page.url).path == "/ui/"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_ask_no_other_host_report_nothing_and_fit_a_phone(service: Clusterm, page: Page, theme: str) -> None:
    hosts, complaints = set[str](), list[str]()

    def complain(message: ConsoleMessage) -> None:
        complaints.append(f"{page.url}: {message.text}")  # violations of the policy are messages, too

    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", complain)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(service, page)
    for path in PAGES:
        page.goto(address(service, path))
        page.locator("h1").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        local = page.locator("time").first
        assert local.get_attribute("title") != local.inner_text(), path
    assert complaints == []
    assert hosts == {urlsplit(str(service.http.base_url)).netloc}
