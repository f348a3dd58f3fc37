"""What others have written, on its way to a terminal, a file or a spreadsheet: there it can only be read."""

import csv
import io
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from clusterctl.output.output import Document, Format, Stream, show
from clusterctl.views import events as event_views
from clusterctl.views import logs as log_views
from clusterm.schemas import Event

HOSTILE = [
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b2J",
    "a\rb",
    "\x08\x08\x7f",
    "user\u202etxt.exe",
    "\u2066x\u2069",
    "\x1b[8mhidden",
    "\x1b[31mred\x1b[0m",
    "=1+1",
    "two\nlines",
    'quote"',
]
OBEYED = re.compile(r"\x1b(?!\[[\d;:]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey, but for colours."""

texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))


class Terminal(io.StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        return True


def event(text: str) -> dict[str, Any]:
    values = {"id": 1, "at": "2026-11-22T07:31:02Z", "node": text, "event": "commissioned", "result": "fail"}
    return Event.model_validate({**values, "job": 1, "detail": text, "by": text}).model_dump(mode="json")


def line(text: str) -> dict[str, Any]:
    at = "2026-11-22T07:31:02Z"
    return {"seq": 1, "at": at, "text": text, "partial": False, "play": text, "task": text, "node": text}


def printed(part: Document | Stream, output: Format, out: io.StringIO) -> str:
    show(part, output, out)
    return out.getvalue()


def stream(text: str, *, live: bool) -> Stream:
    return Stream(iter([line(text)]), log_views.log_text(timestamps=True), live=live)


def events(text: str) -> Document:
    columns = list(Event.model_fields)
    page = {"items": [event(text)], "next": None}
    return Document(page, event_views.node_events, lambda page: page["items"], columns)


@given(text=texts, output=st.sampled_from([Format.TABLE, Format.JSON, Format.JSONL, Format.YAML]))
def test_a_terminal_only_shows_log_lines(text: str, output: Format) -> None:
    shown = printed(stream(text, live=False), output, Terminal())
    assert not OBEYED.search(shown)
    assert ("\x1b" + shown).rpartition("\x1b")[2].startswith("[0m") or "\x1b" not in shown, "a colour goes on"


@given(text=texts, output=st.sampled_from([Format.TABLE, Format.JSON, Format.JSONL, Format.YAML, Format.CSV]))
def test_a_terminal_only_shows_tables(text: str, output: Format) -> None:
    shown = printed(events(text), output, Terminal())
    shown = shown.replace("\r\n", "\n") if output is Format.CSV else shown
    assert not OBEYED.search(shown)


@given(text=texts)
def test_a_value_never_makes_a_row_of_its_own(text: str) -> None:
    assert printed(events(text), Format.TABLE, io.StringIO()).count("\n") == 2
    follow = Stream(iter([event(text)]), event_views.event_text, live=True)
    assert printed(follow, Format.TABLE, io.StringIO()).count("\n") == 1


@given(text=texts)
@example(text="\x9b\u202e")
def test_a_file_gets_everything_as_it_was(text: str) -> None:
    assert printed(stream(text, live=False), Format.TABLE, io.StringIO()).endswith(f"Z  {text}\n")
    assert json.loads(printed(stream(text, live=True), Format.JSON, io.StringIO())) == line(text)
    assert json.loads(printed(stream(text, live=False), Format.JSON, io.StringIO())) == [line(text)]
    assert yaml.safe_load(printed(stream(text, live=False), Format.YAML, io.StringIO())) == [line(text)]


@given(text=texts)
@pytest.mark.parametrize("begin", ["", *"=+-@\t\r\n＝＋－＠"])  # noqa: RUF001
def test_no_cell_of_a_spreadsheet_is_a_formula(begin: str, text: str) -> None:
    written = printed(events(begin + text), Format.CSV, io.StringIO())
    header, row = csv.reader(io.StringIO(written, newline=""))
    cells = dict(zip(header, row, strict=True))
    for name in ("node", "detail", "by"):
        assert not cells[name].startswith(tuple("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
        assert cells[name].replace("'", "") == (begin + text).replace("'", "")
