"""The pictures of the dashboard in a real browser: what they draw, and what keys and clicks lead to."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page
from sqlalchemy import update
from sqlmodel import col
from support.browser import open_page
from support.programs import SCRIPTED
from support.requirements import requires
from support.rows import add_plain_job, add_traced_job
from support.service import Clusterm, wait_for

from clusterm.enums import JobStatus, Outcome, TaskStatus
from clusterm.store import tables
from clusterm.store.engine import Store

pytestmark = requires("chromium")

TASKS, NODES = 20, 14
NAMES, LABELS, AXIS = 200, 110, 24
"""Pixels for the names of nodes, for those of tasks, and for the times."""

COLOURS = {
    ".": "ok",
    "c": "warn",
    "s": "line",
    "F": "fail",
    "U": "gone",
    "i": "mark",
    "r": "mark",
    "l": "mark",
    "b": "busy",
}
STATUSES = {"Unallocated": "idle", "Provisioning": "busy", "Allocated": "ok", "Maintenance": "warn"}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service whose job 1 has ended Complete, and job 2 with all kinds of results."""
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a", "node2-b", "node3-c")
    chance = random.Random(5)
    with closing(Store(f"sqlite:///{module_clusterm.database}")) as store:
        add_traced_job(store, tasks=TASKS, nodes=NODES, status=JobStatus.COMPLETE)
        job = add_traced_job(store, tasks=TASKS, nodes=NODES)
        with store.write() as session:
            for number in chance.sample(range(2 * NODES, (TASKS + 2) * NODES), 100):
                status = chance.choice([*TaskStatus, None])
                result = tables.TaskResult
                where = col(result.job_id) == job, col(result.number) == number
                session.execute(update(result).where(*where).values(status=status, first_line=number))
        names = [f"many-{number:03}" for number in range(700)]
        add_plain_job(store, *names, status=JobStatus.ERRORED, outcomes={names[-1]: Outcome.PASSED})
    module_clusterm.run("commission", ["node1-a", "node2-b"])
    return module_clusterm


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page, which must not complain."""
    complaints = list[str]()

    def complain(message: ConsoleMessage) -> None:
        if "willReadFrequently" not in message.text:  # which the tests themselves cause
            complaints.append(message.text)  # violations of the policy are messages, too

    with open_page(tmp_path_factory.mktemp("browser") / "profile", timeout_ms=20_000) as opened:
        opened.set_viewport_size({"width": 1200, "height": 900})
        opened.emulate_media(color_scheme="light")
        opened.on("console", complain)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        assert complaints == []


def visit(service: Clusterm, page: Page, path: str) -> None:
    page.goto(str(service.http.base_url.join(path)))


def colours_at(page: Page, canvas: str, points: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Return the colours of a canvas at points, given in the pixels of the page."""
    found: list[list[int]] = page.evaluate(
        """([id, points]) => { const canvas = document.getElementById(id), pen = canvas.getContext("2d")
            const scale = canvas.width / canvas.clientWidth
            return points.map(([x, y]) => [...pen.getImageData(x * scale, y * scale, 1, 1).data].slice(0, 3)) }""",
        [canvas, points],
    )
    return found


def colours(page: Page) -> dict[str, list[int]]:
    """Return the colours of the stylesheet by their names."""
    found: dict[str, list[int]] = page.evaluate(
        """(names) => { const probe = document.createElement("span"); document.body.append(probe)
            const read = (name) => { probe.style.color = `var(--${name})`
              return getComputedStyle(probe).color.match(/[0-9]+/g).map(Number).slice(0, 3) }
            return Object.fromEntries(names.map((name) => [name, read(name)])) }""",
        ["ok", "warn", "line", "fail", "gone", "mark", "busy", "idle"],
    )
    return found


def test_the_grid_shows_each_result_and_leads_to_its_lines(service: Clusterm, page: Page) -> None:
    grid = service.get("/info/job/2/grid")
    assert len(grid["rows"]) == NODES
    visit(service, page, "/ui/jobs/2")
    page.locator("#summary", has_text=f"{TASKS} tasks. {grid['failed']} of {NODES} nodes failed a task").wait_for()
    wait_for(lambda: page.evaluate("document.getElementById('grid').height") > NODES * 16, "the picture")
    width = min(24, (page.evaluate("document.getElementById('grid').clientWidth") - NAMES - 8) / TASKS)
    cells = [(row, column) for row in range(NODES) for column in range(TASKS)]
    points = [(NAMES + column * width + 2, LABELS + row * 16 + 2) for row, column in cells]  # beside the crosses
    drawn, named = colours_at(page, "grid", points), colours(page)
    expected = [named[COLOURS[grid["rows"][row][column]]] for row, column in cells]
    assert drawn == expected
    page.locator("#grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.locator("#cell", has_text=f"{grid['nodes'][1]}: {grid['tasks'][1]['task']}: ").wait_for()
    row, column = next((r, c) for r, c in cells if grid["rows"][r][c] == "F")
    results = next(
        task["results"]
        for task in service.get("/info/job/2/tasks", limit=1000)["items"]
        if task["number"] == grid["tasks"][column]["number"]
    )
    (line,) = (result["first_line"] for result in results if result["node"] == grid["nodes"][row])
    page.locator("#grid").click(position={"x": NAMES + (column + 0.5) * width, "y": LABELS + (row + 0.5) * 16})
    page.locator(f'.row.chosen[data-line="{line}"]').wait_for()
    assert urlsplit(page.url).path == "/ui/jobs/2/log"


def test_tables_have_what_the_pictures_show(service: Clusterm, page: Page) -> None:
    visit(service, page, "/ui/jobs/2/tasks")
    grid = service.get("/info/job/2/grid")
    failed = [row.locator("td").last.inner_text() for row in page.locator("tbody tr").all()]
    assert failed == [str(task["failed"] or "") for task in grid["tasks"]]


def test_a_page_of_many_nodes_is_bounded_and_leads_to_the_others(service: Clusterm, page: Page) -> None:
    visit(service, page, "/ui/jobs/3")
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("link", name="and 650 more").click()
    assert page.locator("tbody tr").count() == 500
    page.get_by_role("link", name="More nodes").click()
    assert page.locator("tbody tr").count() == 200
    assert "passed" in page.locator("tbody tr").last.inner_text()


def test_a_job_is_compared_with_the_last_good_one(service: Clusterm, page: Page) -> None:
    visit(service, page, "/ui/jobs/2")
    page.get_by_role("link", name="Compare with job 1, the last good one").click()
    diff = service.get("/info/job/1/diff/2")
    assert page.locator("table").first.locator("tbody tr").count() == len(diff["failing"]) > 0
    assert page.get_by_role("heading", level=1).inner_text().startswith("Job 2 compared with job 1")


def test_the_timeline_shows_the_states_and_leads_to_nodes(service: Clusterm, page: Page) -> None:
    visit(service, page, "/ui/timeline?hours=1")
    page.locator("#summary", has_text="3 nodes").wait_for()
    wide: int = page.evaluate("document.getElementById('states').clientWidth")
    wait_for(lambda: page.evaluate("document.getElementById('time').clientWidth") == wide, "the picture")
    found: dict[str, Any] = service.get("/info/nodes/states")
    last = [found["statuses"][node["segments"][-1][1]] for node in found["nodes"]]
    assert last == ["Allocated", "Allocated", "Unallocated"]
    ends = [(wide - 12 - 1, AXIS + row * 18 + 9) for row in range(3)]
    starts = [(NAMES + 1, y) for _, y in ends]
    named = colours(page)
    assert colours_at(page, "time", ends) == [named[STATUSES[status]] for status in last]
    assert colours_at(page, "time", starts) == [[0, 0, 0]] * 3  # an hour ago there were no nodes, so nothing is drawn
    page.get_by_role("button", name="A row for each node").click()
    page.locator("#each[aria-pressed=true]").wait_for()
    box = page.locator("#time").bounding_box()
    assert box
    page.mouse.move(box["x"] + wide - 100, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + wide - 13, box["y"] + 30, steps=3)
    page.mouse.up()
    page.get_by_role("button", name="Whole time").wait_for()
    page.locator("#time").focus()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Whole time").wait_for(state="hidden")
    page.keyboard.press("ArrowDown")
    page.locator("#segment", has_text="node2-b: Allocated, Discovered, job 4").wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator("#segment", has_text="node2-b: Provisioning").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="node2-b").wait_for()


def test_many_nodes_share_lines_of_pixels(service: Clusterm, page: Page) -> None:
    service.add_nodes(*(f"rack-{number:03}" for number in range(230)))
    visit(service, page, "/ui/timeline?hours=1&node=rack")
    page.locator("#summary", has_text="230 nodes").wait_for()
    wide: int = page.evaluate("document.getElementById('states').clientWidth")
    wait_for(lambda: page.evaluate("document.getElementById('time').clientWidth") == wide, "the picture")
    points = [(wide - 13, AXIS + y) for y in (5, 100, 300)]
    wait_for(lambda: colours_at(page, "time", points) == [colours(page)["idle"]] * 3, "the mean colours")
