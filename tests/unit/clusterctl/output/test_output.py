"""Output formats of clusterctl: tables, text, JSON, JSON lines and YAML."""

import io
import json
import os
import pty
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from support.factories import FOREIGN, JOB, event, last_page, log_line, printed, wire

from clusterctl.output.output import Document, Format, Stream, note, page_items, show
from clusterctl.views import events as event_views
from clusterctl.views import jobs as job_views
from clusterctl.views import logs as log_views
from clusterctl.views import nodes as node_views
from clusterctl.views import settings as setting_views
from clusterm.schemas import Event, Job


def in_terminal(part: Document) -> str:
    """Print to a terminal, and return what it got."""
    master, slave = pty.openpty()
    text = b""
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", buffering=0) as screen:
        show(part, Format.TABLE, terminal)
        while not text.endswith(b"\n"):
            text += screen.read(65536)
    return text.decode()


def test_nothing_is_cut_off_when_piped() -> None:
    long = "x" * 5000
    page = last_page(Event, [event(1, "commissioned", "fail", detail=long)])

    assert printed(Document(wire(page), event_views.events)).endswith(f"  {long}\n")


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_wraps_and_loses_nothing(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = last_page(Event, [event(1, "commissioned", "fail", job=12, detail=f"{'x' * 40} {'z' * 40}")])

    text = re.sub(r"\x1b\[\d*m", "", in_terminal(Document(wire(page), event_views.events)))

    assert max(len(line) for line in text.splitlines()) <= columns
    assert text.count("2026-11-22T07:31:02Z") == 1
    assert (text.count("x"), text.count("z")) == (40, 40)


@pytest.mark.parametrize("columns", [40, 80, 120, 240])
def test_a_list_of_jobs_fits_into_any_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    jobs = [
        JOB.model_copy(update={"id": 1203, "nodes": ["node1-4c4c4544"], "error": ""}),
        JOB.model_copy(
            update={"id": 1204, "nodes": [f"node{n}-x" for n in range(10_000)], "error": "failed: " + "y" * 99}
        ),
    ]

    shown = re.sub(r"\x1b\[\d*m", "", in_terminal(Document(wire(last_page(Job, jobs)), job_views.jobs)))

    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) < 25
    assert "and 9998 more" in " ".join(shown.split())
    assert (lines[0].split()[0], "1203" in lines[0]) == ("ID", columns < 100)
    assert ("…" in shown) == (columns == 120)
    assert all(word in shown for word in ("commission", "2026-11-22T07:31:02Z"))


def test_terminals_get_colours_unless_they_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    part = Document(wire(last_page(Event, [event(1, "commissioned", "pass")])), event_views.events)

    assert "\x1b[32m" in in_terminal(part)
    assert "\x1b" not in printed(part)

    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[32m" not in in_terminal(part)


@pytest.mark.parametrize(
    ("view", "data"),
    [(node_views.nodes, {}), (event_views.events, {"items": [], "next": None}), (setting_views.settings, {})],
)
def test_an_empty_list_is_no_table(view: Callable[[Any], Any], data: Any) -> None:
    assert printed(Document(data, view)) == ""


def test_json_is_what_the_service_sent() -> None:
    part = Document(FOREIGN, event_views.events, items=page_items)

    assert printed(part, Format.JSON) == json.dumps(FOREIGN, indent=2, ensure_ascii=False) + "\n"
    assert [json.loads(line) for line in printed(part, Format.JSONL).splitlines()] == FOREIGN["items"]
    assert json.loads(printed(Document(FOREIGN, job_views.job), Format.JSONL)) == FOREIGN


def test_yaml_says_the_same() -> None:
    answer = {"items": [{"id": 1, "at": "2026-11-22T07:31:02Z", "text": "é: - #\n"}], "next": None}

    assert yaml.safe_load(printed(Document(answer, event_views.events), Format.YAML)) == answer


def test_a_stream_is_a_document_unless_it_is_live() -> None:
    lines = [log_line(1, "a"), log_line(2, "b")]

    def stream(*, live: bool) -> Stream:
        return Stream(iter(lines), log_views.log_text(timestamps=False), live=live)

    assert json.loads(printed(stream(live=False), Format.JSON)) == lines
    assert [json.loads(line) for line in printed(stream(live=True), Format.JSON).splitlines()] == lines
    for live in (True, False):
        assert [json.loads(line) for line in printed(stream(live=live), Format.JSONL).splitlines()] == lines
        assert yaml.safe_load(printed(stream(live=live), Format.YAML)) == lines


def test_a_live_stream_is_printed_line_by_line() -> None:
    out = io.StringIO()
    flushed: list[str] = []
    out.flush = lambda: flushed.append(out.getvalue())  # type: ignore[method-assign]

    def lines() -> Iterator[Any]:
        yield log_line(1, "a")
        assert flushed == ["a\n"]
        yield log_line(2, "b")

    show(Stream(lines(), log_views.log_text(timestamps=False), live=True), Format.TABLE, out)

    assert flushed[:2] == ["a\n", "a\nb\n"]


def test_messages_are_one_line_and_leave_the_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    note("one\n  two\x1b[2Jthree")

    assert capsys.readouterr() == ("", "one two\N{REPLACEMENT CHARACTER}[2Jthree\n")
