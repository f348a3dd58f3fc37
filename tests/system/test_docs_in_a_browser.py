"""The page at /docs in a real browser: it needs no other host, and what it offers to try works."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page
from support.browser import open_page
from support.requirements import requires
from support.service import Clusterm

pytestmark = requires("chromium")


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that asks for tokens, as it does by default."""
    del module_clusterm.config["manager"]["auth"]
    module_clusterm.start()
    token = (module_clusterm.state_dir / "token").read_text().strip()
    module_clusterm.http.headers["Authorization"] = f"Bearer {token}"
    module_clusterm.add_nodes("node1-a")
    return module_clusterm


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with open_page(tmp_path / "profile") as opened:
        yield opened


def test_an_operation_is_tried_by_clicking_and_no_other_host_is_asked(service: Clusterm, page: Page) -> None:
    home = str(service.http.base_url)
    hosts, complaints = set[str](), list[str]()

    def complain(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc or urlsplit(request.url).scheme))
    page.on("console", complain)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{home}/docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".modal-ux input").fill(service.http.headers["Authorization"].removeprefix("Bearer "))
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close", exact=True).click()
    operation = page.locator(".opblock", has=page.locator('[data-path="/v1/info/node/{name}"]')).first
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("name").fill("node1-a")
    operation.get_by_role("button", name="Execute").click()
    live = operation.locator(".live-responses-table .response")
    assert live.locator(".response-col_status").inner_text().strip() == "200"
    shown = json.loads(live.locator(".response-col_description .highlight-code code").first.inner_text())
    assert shown == service.get("/info/node/node1-a")
    assert complaints == []
    assert hosts - {"data", "blob"} == {urlsplit(home).netloc}


def test_the_page_runs_no_script_that_it_did_not_come_with(service: Clusterm, page: Page) -> None:
    page.goto(f"{service.http.base_url}/docs")
    page.get_by_role("heading", name="clusterm").wait_for()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.evaluate(
        """() => {
            const script = document.createElement("script")
            script.textContent = "window.injected = true"
            document.body.append(script)
        }"""
    )
    assert page.evaluate("window.injected") is None
    assert "Content Security Policy" in refused[0]


def test_every_answer_tells_browsers_that_it_is_data(service: Clusterm) -> None:
    for path in ("/info/nodes", "/no/such/route", "/static-offline-docs/swagger-ui.css"):
        headers = service.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
