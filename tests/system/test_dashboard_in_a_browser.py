"""The dashboard in a real browser: sign-in, every page, policy, widths and themes."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, sync_playwright
from support.browser import FLAGS, accessibility_violations, open_page
from support.requirements import path_of, requires
from support.service import Clusterm

pytestmark = requires("chromium")

TIMEOUT_MS = 20_000
HOSTILE = "</span><script>window.injected = 1</script><img src=x onerror=alert(1)>"
PLAYBOOK = f"""
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Print {HOSTILE}
      debug:
        msg: "{{{{ ['line of output \\e[31mred\\e[0m', '{HOSTILE}'] + range(2500) | list }}}}"
    - name: Check {HOSTILE}
      fail: {{msg: "no disk {HOSTILE}"}}
      when: inventory_hostname.startswith("node2")
"""
PAGES = [
    "/ui/",
    "/ui/nodes",
    "/ui/nodes?q=nothing",
    "/ui/nodes/node2-b",
    "/ui/jobs",
    "/ui/jobs/1",
    "/ui/jobs/1/nodes",
    "/ui/jobs/1/tasks",
    "/ui/jobs/1/log",
    "/ui/jobs/1/log?q=TASK&failed=true",
    "/ui/timeline",
    "/ui/timeline?hours=1&node=node",
    "/ui/run/commission?q=node2",
    "/ui/run/discover",
    "/ui/jobs/1/retry",
    "/ui/settings",
    "/ui/jobs/99",
]
"""The pages that need a session."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens, as it does by default."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.write_playbook("site.yml", PLAYBOOK)
    module_clusterm.start()
    token = (module_clusterm.state_dir / "token").read_text().strip()
    module_clusterm.http.headers["Authorization"] = f"Bearer {token}"
    module_clusterm.add_nodes("node1-a", "node2-b")
    job = module_clusterm.run("commission", ["node1-a", "node2-b"], extra_vars={"release": HOSTILE})
    assert (job["status"], job["outcomes"]) == ("Errored", {"node1-a": "passed", "node2-b": "failed"})
    return module_clusterm


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with open_page(tmp_path / "profile", timeout_ms=TIMEOUT_MS) as opened:
        yield opened


def address(service: Clusterm, path: str) -> str:
    return str(service.http.base_url.join(path))


def sign_in(service: Clusterm, page: Page, path: str = "/ui/") -> None:
    page.goto(address(service, path))
    page.get_by_label("Token").fill(service.http.headers["Authorization"].removeprefix("Bearer "))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()


def test_a_wanted_page_is_shown_after_the_sign_in_until_the_sign_out(service: Clusterm, page: Page) -> None:
    sign_in(service, page, "/ui/nodes/node2-b")
    assert urlsplit(page.url).path == "/ui/nodes/node2-b"
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
    page.goto(address(service, "/ui/login"))
    assert accessibility_violations(page) == []
    sign_in(service, page)
    for path in PAGES:
        page.goto(address(service, path))
        page.locator("h1").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate("window.injected") is None
        assert accessibility_violations(page) == [], path
        assert all(time.get_attribute("title") != time.inner_text() for time in page.locator("time").all()[:3]), path
    assert [complaint for complaint in complaints if "/jobs/99" not in complaint] == []  # its status is 404
    assert hosts == {urlsplit(str(service.http.base_url)).netloc}


def test_pages_are_reached_by_their_links(service: Clusterm, page: Page) -> None:
    sign_in(service, page)
    page.get_by_role("link", name="2 Discovered").click()
    page.get_by_role("searchbox").fill("node2")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="node2-b").click()
    page.get_by_role("heading", name="node2-b").wait_for()
    assert HOSTILE in page.locator(".alert").inner_text()
    page.get_by_role("table").nth(1).get_by_role("link", name="1", exact=True).click()
    failure = page.get_by_role("table").first.locator("tbody tr").first
    assert HOSTILE in failure.inner_text()
    number = failure.locator("a").last.inner_text().replace(",", "")
    failure.locator("a").last.click()
    chosen = page.locator(f'.row.chosen[data-line="{number}"]')
    chosen.locator(".text", has_text=HOSTILE).wait_for()


def test_a_log_is_downloaded(service: Clusterm, page: Page) -> None:
    sign_in(service, page, "/ui/jobs/1/log?q=TASK&failed=true")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_text() == service.http.get("/info/logs/1").text


def test_pages_work_without_scripts(service: Clusterm, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path_of("chromium"), args=FLAGS)
        page = browser.new_context(java_script_enabled=False).new_page()
        sign_in(service, page, "/ui/jobs/1/log")
        page.get_by_role("link", name="Later lines").first.click()
        assert page.locator(".row").first.get_attribute("id") == "L1001"
        page.get_by_role("link", name="End").first.click()
        page.wait_for_load_state()  # a page is shown while it is still read
        assert page.locator(".row").last.get_attribute("id") == f"L{service.job(1)['lines']}"
        page.get_by_role("searchbox").fill("LINE OF output")
        page.get_by_role("button", name="Filter").click()
        log = service.http.get("/info/logs/1").text.splitlines()
        assert page.locator(".row").count() == sum("line of output" in line for line in log)
        page.get_by_role("link", name="All lines").click()
        page.goto(address(service, "/ui/jobs/1/log?from=1980#L2000"))
        assert page.locator("#L2000 .text").inner_text() == log[1999]
        browser.close()
