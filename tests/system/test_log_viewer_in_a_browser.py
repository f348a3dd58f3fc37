"""The viewer of logs in a real browser: long logs, links, search, hostile output, and running jobs."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page
from support.browser import open_page
from support.requirements import requires
from support.rows import BEGAN, add_logged_job
from support.service import Clusterm, wait_for

from clusterm.enums import StepName
from clusterm.schemas import Failure
from clusterm.store import failures, tables
from clusterm.store.engine import Store
from clusterm.store.log_lines import append

pytestmark = requires("chromium")

LINES = 450_000
"""More than the scrolled area has pixels for."""

STORED = [*range(1, 1501), *range(199_000, 201_501), *range(448_500, LINES + 1)]
"""The lines that the store has; the others are left out, as in a log that is too large."""

LINE = 20
"""Pixels of a line."""

HOSTILE = {
    1001: "</span><script>window.injected = 1</script><img src=x onerror=window.injected=1>",
    1002: "a\x1b[2J\x1b]0;title\x07\x00b\x08c\u202edcb\u202c",
    1003: "\x1b[31mred\x1b[0m \x1b[1;32mbold\x1b[0m \x1b[38;5;196mcube\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[0m",
    1004: "x" * 60_000,
    1005: "\x1b[31mno package\x1b[32m here\x1b[0m",
}
SHOWN = {1001: HOSTILE[1001], 1002: "abcdcb", 1003: "red bold cube true", 1004: HOSTILE[1004], 1005: "no package here"}
FAILED = [7, 200_000, 449_000]

FED = """
import json, pathlib, sys, time

given = json.loads(pathlib.Path(sys.argv[sys.argv.index("--extra-vars") + 1][1:]).read_text())
fed = given["fed"]["__ansible_unsafe"] if isinstance(given["fed"], dict) else given["fed"]
with open(fed) as feed:
    while (line := feed.readline()) != "end\\n":
        if line:
            print(line, end="", flush=True)
        else:
            time.sleep(0.01)
"""
"""A program in place of ansible that prints what is written to a file."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(FED)
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a")
    return module_clusterm


@pytest.fixture(scope="module")
def job(service: Clusterm) -> int:
    """A job with a long log."""
    store = Store(f"sqlite:///{service.database}")
    job_id = add_logged_job(store, 0)
    with store.write() as session:
        append(
            session,
            [
                {"job_id": job_id, "seq": seq, "at": BEGAN + timedelta(milliseconds=seq), "partial": False}
                | {"text": HOSTILE.get(seq, f"line {seq}"), "task": 2, "node": f"node{seq % 3}-a"}
                for seq in STORED
            ],
        )
        row = session.get_one(tables.Job, job_id)
        row.lines = LINES
        session.add_all(tables.JobNode(job_id=job_id, position=n, node=f"node{n}-a", held=False) for n in range(3))
        why = {"node": "node1-a", "step": StepName.CONFIGURE, "play": None, "task": "t", "message": "m"}
        failures.add(session, job_id, [Failure(**why, line=line) for line in FAILED])
    store.close()
    return job_id


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("browser") / "profile", timeout_ms=20_000) as opened:
        opened.set_viewport_size({"width": 1200, "height": 900})
        yield opened


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The page, which must not complain."""
    complaints = list[str]()

    def complain(message: ConsoleMessage) -> None:
        complaints.append(message.text)  # violations of the policy are messages, too

    def fail(error: object) -> None:
        complaints.append(str(error))

    browser.on("console", complain)
    browser.on("pageerror", fail)
    yield browser
    browser.goto("about:blank")
    browser.remove_listener("console", complain)
    browser.remove_listener("pageerror", fail)
    assert [each for each in complaints if "net::ERR_" not in each] == []  # which a restart of the service causes


def log_of(service: Clusterm, page: Page, job: int, rest: str = "") -> None:
    page.goto(str(service.http.base_url.join(f"/ui/jobs/{job}/log{rest}")))
    page.locator("#viewer .row:not(.waiting)").first.wait_for()


def top(page: Page) -> int:
    """Return the number of the line at the upper edge, as the page says it."""
    return int(page.locator("#where").inner_text().split()[1].replace(",", ""))


def drawn(page: Page) -> int:
    """Return the number of the line that is drawn at the upper edge."""
    found = page.evaluate(
        """() => { const box = document.getElementById("viewer").getBoundingClientRect()
            return document.elementFromPoint(box.x + 100, box.y + 5).closest(".row").dataset.line }"""
    )
    return int(found)


def text_of(page: Page, line: int) -> str:
    return page.locator(f'.row[data-line="{line}"] .text').inner_text()


def told(page: Page, text: str) -> None:
    page.locator("#message", has_text=text).wait_for()


def test_a_link_leads_to_lines_anywhere(service: Clusterm, job: int, page: Page) -> None:
    log_of(service, page, job, "#L200000-L200002")
    page.locator(".row.chosen:not(.waiting)").first.wait_for()
    assert page.locator(".row.chosen .text").all_inner_texts() == [f"line {seq}" for seq in range(200_000, 200_003)]
    assert page.locator(".row").count() <= 100
    before = top(page)
    page.mouse.move(500, 500)
    for _ in range(10):
        page.mouse.wheel(0, 10 * LINE)
    wait_for(lambda: top(page) == before + 100, "the wheel's 100 lines")
    for seq in random.Random(7).sample(STORED[:-100], 4):
        page.evaluate(f"location.hash = '#L{seq}'")
        page.locator(f'.row.chosen[data-line="{seq}"]:not(.waiting)').wait_for()
        assert drawn(page) == top(page)
        assert seq - 20 < top(page) <= seq
    page.keyboard.press("G")
    page.locator(f'.row[data-line="{LINES}"]:not(.waiting)').wait_for()
    page.keyboard.press("g")
    page.locator('.row[data-line="1"]:not(.waiting)').wait_for()
    assert page.locator(".row").count() <= 100
    page.evaluate("document.getElementById('viewer').scrollTop = 4_000_000")  # the thumb
    wait_for(lambda: abs(top(page) - LINES / 2) < LINES / 100, "the middle")
    page.locator(".row", has_text="[this line is left out]").first.wait_for()


def test_search_and_filters_are_in_the_address(service: Clusterm, job: int, page: Page) -> None:
    log_of(service, page, job)
    page.keyboard.press("/")
    page.keyboard.type("LINE 200")
    told(page, "line 1 of 1,001")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    told(page, "line 2 of 1,001")
    assert page.url.endswith("/log?q=LINE+200#L200000")
    page.keyboard.press("N")
    told(page, "line 1 of 1,001")
    assert page.locator('.row[data-line="200"] mark').inner_text() == "line 200"
    page.get_by_label("matches only").check()
    page.locator('.row[data-line="200001"]:not(.waiting)').wait_for()
    assert page.locator('.row[data-line="201"]').count() == 0
    page.get_by_label("Only lines of a node").select_option("node1-a")
    told(page, "333 lines")
    page.reload()
    told(page, "333 lines")
    assert page.locator(".row mark").count() > 30
    page.get_by_role("searchbox").fill("nowhere")
    told(page, "0 lines")
    assert page.locator(".row").count() == 0
    assert page.locator("#where").inner_text() == "no lines"


def test_keys_lead_from_failure_to_failure(service: Clusterm, job: int, page: Page) -> None:
    log_of(service, page, job)
    for key, line in [("e", 7), ("e", 200_000), ("e", 449_000), ("e", 7), ("E", 449_000)]:
        page.keyboard.press(key)
        told(page, f"failure {FAILED.index(line) + 1} of 3")
        assert urlsplit(page.url).fragment == f"L{line}"
        page.locator(f'.row.chosen[data-line="{line}"]').wait_for()


@pytest.mark.parametrize("wrapped", [False, True])
def test_output_is_shown_as_text(service: Clusterm, job: int, page: Page, *, wrapped: bool) -> None:
    log_of(service, page, job, "?q=package#L1001")
    if wrapped != (page.locator("#wrap").get_attribute("aria-pressed") == "true"):
        page.keyboard.press("w")
    for line, text in SHOWN.items():
        page.evaluate(f"location.hash = '#L{line}'")
        page.locator(f'.row.chosen[data-line="{line}"]:not(.waiting)').wait_for()
        assert page.locator(f'.row[data-line="{line}"] .text').text_content() == text
    assert page.evaluate("window.injected") is None
    assert page.locator(".fore-red").first.inner_text() == "red"
    assert page.locator(".bold.fore-green").inner_text() == "bold"
    colours = page.locator('.row[data-line="1003"] .text span[style]').evaluate_all(
        "all => all.map((e) => e.style.color)"
    )
    assert colours == ["rgb(255, 0, 0)", "rgb(1, 2, 3)"]
    assert page.locator('.row[data-line="1005"] mark').all_inner_texts() == ["package"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_chosen_lines_are_copied(service: Clusterm, job: int, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    log_of(service, page, job)
    page.keyboard.press("c")
    told(page, "Click the number of a line first")
    log_of(service, page, job, "?from=900#L1001")
    page.locator('.row[data-line="1003"] .no').click()
    page.locator('.row[data-line="1006"] .no').click(modifiers=["Shift"])
    assert page.url.endswith("#L1003-L1006")
    page.keyboard.press("c")
    told(page, "Copied 4 lines.")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == [
        SHOWN[1003],
        *[SHOWN[1004], SHOWN[1005]],
        "line 1006",
    ]


def test_a_running_job_is_followed_and_stands_still_for_the_reader(
    service: Clusterm, page: Page, tmp_path: Path
) -> None:
    feed = tmp_path / "feed"
    feed.touch()

    def write(first: int, last: int) -> None:
        with feed.open("a") as file:
            file.writelines(f"row {number}\n" for number in range(first, last + 1))

    running = service.begin("discover", ["127.0.9.9"], extra_vars={"fed": str(feed)})
    write(1, 200)
    log_of(service, page, running["id"])
    page.locator('.row[data-line="200"]', has_text="row 200").wait_for()
    write(201, 300)
    page.locator('.row[data-line="300"]', has_text="row 300").wait_for()
    page.mouse.move(500, 500)
    page.mouse.wheel(0, -60 * LINE)
    page.locator("#follow[aria-pressed=false]").wait_for()
    wait_for(lambda: page.locator('.row[data-line="300"]').count() == 0, "the end of the wheel's motion")
    place = page.locator(".row").nth(20).bounding_box()
    line = page.locator(".row").nth(20).get_attribute("data-line")
    write(301, 400)
    page.get_by_role("button", name="↓ 100 new lines").wait_for()
    assert page.locator(f'.row[data-line="{line}"]').bounding_box() == place
    service.config["manager"]["addr"] = urlsplit(str(service.http.base_url)).netloc
    service.restart()
    write(401, 450)
    page.get_by_role("button", name="↓ 150 new lines").click(timeout=60_000)
    page.locator('.row[data-line="450"]', has_text="row 450").wait_for()
    with feed.open("a") as file:
        file.write("end\n")
    page.locator("#status", has_text="Complete").wait_for()
    assert service.ended(running)["lines"] == 450
    assert not page.locator("#follow").is_visible()
    assert text_of(page, 449) == "row 449"
