"""Pages of the dashboard that follow the cluster by themselves, keys, and starting a job, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Error, Page
from support.browser import accessibility_violations, open_page
from support.programs import SCRIPTED
from support.requirements import requires
from support.service import Clusterm

pytestmark = requires("chromium")

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true })
  document.dispatchEvent(new Event("visibilitychange"))
}"""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a", "node2-b")
    return module_clusterm


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("browser") / "profile", timeout_ms=30_000) as opened:
        yield opened


@pytest.fixture
def page(shared_page: Page) -> Iterator[Page]:
    """A page whose messages on the console are defects."""
    complaints = list[str]()

    def complain(message: ConsoleMessage) -> None:
        if "net::ERR_" not in message.text:  # the service was restarted
            complaints.append(message.text)

    def crash(error: Error) -> None:
        complaints.append(str(error))

    shared_page.on("console", complain)
    shared_page.on("pageerror", crash)
    yield shared_page
    shared_page.remove_listener("console", complain)
    shared_page.remove_listener("pageerror", crash)
    assert complaints == []


def show(service: Clusterm, page: Page, path: str) -> None:
    page.goto(str(service.http.base_url.join(path)))


def test_keys_lead_through_the_pages(service: Clusterm, page: Page) -> None:
    show(service, page, "/ui/")
    page.keyboard.press("g")
    page.keyboard.press("n")
    page.get_by_role("heading", name="Nodes", exact=True).wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="node2-b").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.get_by_role("heading", name="Jobs", exact=True).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("go")
    assert page.get_by_role("searchbox").input_value() == "go"


def test_a_job_is_planned_confirmed_and_followed_to_its_end(service: Clusterm, page: Page, tmp_path: Path) -> None:
    show(service, page, "/ui/nodes?q=node1")
    page.get_by_role("link", name="Commission", exact=True).click()
    page.get_by_label("Join host group").select_option("service-master")
    gate = tmp_path / "gate"
    page.get_by_label("Extra vars").fill(f"until={gate}")
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("heading", name="Plan: Commission nodes").wait_for()
    assert accessibility_violations(page) == []
    page.get_by_role("button", name="Change").click()
    assert page.get_by_label("Extra vars").input_value() == f"until={gate}"
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Start").dblclick()
    page.get_by_text("Cancel this job").wait_for()
    assert [job["id"] for job in service.get("/info/jobs")["items"]] == [1]
    page.locator("#live .pill", has_text="Running").wait_for()
    gate.touch()
    page.locator("#live .pill", has_text="Complete").wait_for()


def test_the_overview_shows_what_happens_and_keeps_what_the_user_does(service: Clusterm, page: Page) -> None:
    show(service, page, "/ui/")
    page.get_by_text("live", exact=True).wait_for()
    link = page.locator("#live a", has_text="Timeline")
    link.focus()
    service.add_nodes("node3-c")
    page.get_by_role("cell", name="node3-c").first.wait_for()
    page.locator("#live a.tile", has_text="2 Unallocated").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Timeline"


def test_an_idle_page_asks_seldom_and_a_hidden_one_not_at_all(service: Clusterm, page: Page) -> None:
    show(service, page, "/ui/nodes")
    page.get_by_text("live", exact=True).wait_for(state="attached")
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(4000)
    assert len(asked) <= 1
    page.evaluate(HIDE, True)
    page.wait_for_timeout(200)
    asked.clear()
    service.add_nodes("node4-d")
    page.wait_for_timeout(3000)
    assert asked == []
    page.evaluate(HIDE, False)
    page.get_by_role("cell", name="node4-d").wait_for()


def test_seven_tabs_do_no_harm(service: Clusterm, page: Page) -> None:
    others = [page.context.new_page() for _ in range(6)]
    for other in others:
        show(service, other, "/ui/")
        other.evaluate(HIDE, True)
    show(service, page, "/ui/nodes/node1-a")
    page.get_by_role("heading", name="node1-a").wait_for()
    for other in others:
        other.close()


def test_a_page_survives_a_restart_of_the_service(service: Clusterm, page: Page) -> None:
    show(service, page, "/ui/nodes")
    service.config["manager"]["addr"] = f"127.0.0.1:{service.http.base_url.port}"
    service.kill()
    page.locator("#live-state", has_text="reconnecting").wait_for()
    service.start()
    service.add_nodes("node5-e")
    page.get_by_role("cell", name="node5-e").wait_for()
    assert page.locator("#live-state").inner_text() == "live"
