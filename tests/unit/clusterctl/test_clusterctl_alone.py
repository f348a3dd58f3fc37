"""clusterctl without a service: what it takes for a value, what it prints, and how it ends."""

import io
import itertools
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
import yaml
from support.factories import JOB, NOW, printed, wire

from clusterctl.aliases import Nouns, Verbs
from clusterctl.api import following, retry
from clusterctl.api.client import Client
from clusterctl.api.models import ALL, Lines, read
from clusterctl.app import app
from clusterctl.errors import ConnectionLost, NoAnswer, Unavailable, UnexpectedResponse, Unreachable, Usage
from clusterctl.output.output import Document, Format, Stream, note, page_items, show
from clusterctl.parsing import parse_duration, parse_extra_vars, parse_job, parse_since, parse_url, read_mapping
from clusterctl.views import events as event_views
from clusterctl.views import jobs as job_views
from clusterctl.views import logs as log_views
from clusterctl.views import nodes as node_views
from clusterctl.views import settings as setting_views
from clusterm.enums import Action, JobStatus
from clusterm.schemas import Event, Job, LogEnd, LogLine, Node, Page


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


# What stands on the command line


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:9007", "http://127.0.0.1:9007"),
        ("127.0.0.1:9107", "http://127.0.0.1:9107"),
        ("cluster_manager", "http://cluster_manager:9007"),
        ("[::1]:9107", "http://[::1]:9107"),
        ("[::1]", "http://[::1]:9007"),
        ("https://clusterm.example.org", "https://clusterm.example.org"),
        ("https://example.org:8443/clusterm/", "https://example.org:8443/clusterm"),
        ("HTTP://Example.org", "http://example.org"),
    ],
)
def test_a_url_may_leave_out_what_goes_without_saying(text: str, url: str) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", ":9007", "http://", "ftp://host", "host:port", "host:99999", "::1", "[::1", "a b", "http://a b:1",
     "http://user:password@host", "http://host/?q=1", "http://host/#here", "//host", "host:9007:1", "ho\nst"],
)  # fmt: skip
def test_a_nonsense_url_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="CLUSTERM_URL"):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("1w2d", NOW - timedelta(days=9)),
        ("2026-11-22T07:31:02Z", datetime(2026, 11, 22, 7, 31, 2, tzinfo=UTC)),
        ("2026-11-22T09:31:02.5+02:00", datetime(2026, 11, 22, 7, 31, 2, 500000, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_how_long_ago_it_was(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2",
        "h",
        "-1h",
        "2 h",
        "999999999w",
        "2026-11-22",
        "2026-11-22T07:31:02",
        "2026-13-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="2026-11-22T07:31:02Z"):
        parse_since(text, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("1.5", 1.5), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800)],
)
def test_a_duration_is_in_seconds_or_has_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1e3",
        "nan",
        "inf",
        "m",
        "1.5h",
        "5 m",
        "1_0",
        "9999999999",
        "999999999w",
        "\N{ARABIC-INDIC DIGIT SEVEN}",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["active", "last", "7"])
def test_a_job_is_named_by_its_place_or_its_id(text: str) -> None:
    assert parse_job(text) == text


@pytest.mark.parametrize("text", ["", "first", "-1", "1.5", "7/cancel", "\N{ARABIC-INDIC DIGIT SEVEN}"])
def test_what_names_no_job_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="clusterctl job list"):
        parse_job(text)


@pytest.mark.parametrize(
    ("texts", "extra_vars"),
    [
        (None, {}),
        ([""], {}),
        (['{"a": {"b": [1, null]}}'], {"a": {"b": [1, None]}}),
        (["a=1 b='x y' c="], {"a": "1", "b": "x y", "c": ""}),
        (['{"url": "http://x/?a=b"}'], {"url": "http://x/?a=b"}),
        (['{"a": 1, "b": 1}', "b=2"], {"a": 1, "b": "2"}),
    ],
)
def test_extra_vars_are_an_object_or_pairs(texts: list[str] | None, extra_vars: dict[str, Any]) -> None:
    assert parse_extra_vars(texts) == extra_vars


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "1",
        "null",
        "[1]",
        '"a"',
        "{",
        "{'a': 1}",
        '{"a": NaN}',
        "=1",
        "a=1 b",
        "a='1",
        '["a=b"]',
        "[" * 100_000,
    ],
)
def test_other_extra_vars_are_refused(text: str) -> None:
    with pytest.raises(Usage, match="--extra-vars"):
        parse_extra_vars([text])


def test_extra_vars_and_configurations_can_stand_in_files(tmp_path: Path) -> None:
    contents = {
        "vars.json": '{"ansible":\t{"user": "root"}}',
        "vars.yml": "ansible:\n  user: root\n",
        "conf.toml": '[ansible]\nuser = "root"\n',
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)

        assert read_mapping(str(tmp_path / name)) == {"ansible": {"user": "root"}}
        assert parse_extra_vars([f"@{tmp_path / name}"]) == {"ansible": {"user": "root"}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"- a", "no object"),
        (b"", "no object"),
        (b"a: [", "flow node"),
        (b"{", "flow node"),
        (b"a: 2026-01-01", "date"),
        (b"a: .nan", "JSON"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    file = tmp_path / "vars"
    file.write_bytes(text)

    with pytest.raises(Usage, match=reason) as refusal:
        read_mapping(str(file))

    assert str(file) in str(refusal.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"cannot read .*absent: No such file"):
        read_mapping(str(tmp_path / "absent"))


# What people see


def event(number: int, what: str, result: str | None = None, **more: Any) -> Event:
    values = {"node": "node1-a", "job": None, "detail": None} | more
    return Event.model_validate({"id": number, "at": NOW, "event": what, "result": result} | values)


def in_terminal(part: Document) -> str:
    """Print to a terminal, and return what it got."""
    master, slave = pty.openpty()
    text = b""
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", buffering=0) as screen:
        show(part, Format.TABLE, terminal)
        while not text.endswith(b"\n"):
            text += screen.read(65536)
    return text.decode()


def test_the_timeline_reads_as_agreed() -> None:
    page = Page[Event].last(
        [
            event(1, "discovered"),
            event(2, "commissioned", "pass", job=1),
            event(3, "commissioned", "fail", node="node2-b", job=12, detail="disk\n/dev/sdb [red]is missing"),
        ]
    )

    assert printed(Document(wire(page), event_views.events)).splitlines() == [
        "TIME                  EVENT                               JOB  REASON",
        "2026-11-22T07:31:02Z  node1-a discovered",
        "2026-11-22T07:31:02Z  node1-a commissioned; result: pass  1",
        "2026-11-22T07:31:02Z  node2-b commissioned; result: fail  12   disk /dev/sdb [red]is missing",
    ]


def test_an_event_that_is_followed_reads_as_in_the_timeline() -> None:
    items = iter([wire(event(3, "commissioned", "fail", job=12, detail="no disk")), wire(event(4, "discovered"))])

    assert printed(Stream(items, event_views.event_text, live=True)).splitlines() == [
        "2026-11-22T07:31:02Z  node1-a commissioned; result: fail           12  no disk",
        "2026-11-22T07:31:02Z  node1-a discovered",
    ]


def test_nothing_is_cut_off_when_piped() -> None:
    long = "x" * 5000
    page = Page[Event].last([event(1, "commissioned", "fail", detail=long)])

    assert printed(Document(wire(page), event_views.events)).endswith(f"  {long}\n")


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_wraps_and_loses_nothing(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = Page[Event].last([event(1, "commissioned", "fail", job=12, detail=f"{'x' * 40} {'z' * 40}")])

    text = re.sub(r"\x1b\[\d*m", "", in_terminal(Document(wire(page), event_views.events)))

    assert max(len(line) for line in text.splitlines()) <= columns
    assert text.count("2026-11-22T07:31:02Z") == 1
    assert (text.count("x"), text.count("z")) == (40, 40)


def test_terminals_get_colours_unless_they_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    part = Document(wire(Page[Event].last([event(1, "commissioned", "pass")])), event_views.events)

    assert "\x1b[32m" in in_terminal(part)
    assert "\x1b" not in printed(part)

    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[32m" not in in_terminal(part)


WILD = "\x1b[1;31mred\x1b[0m\tand \x1b]0;title\x07\x1b[2Jgone\r\x7f\x9b5D é\n"
TAMED = "\x1b[1;31mred\x1b[0m\tand ␛]0;title␇␛[2Jgone␍␡\N{REPLACEMENT CHARACTER}5D é\n"


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, TAMED), (False, WILD)])
def test_log_lines_colour_a_terminal_and_do_nothing_else_to_it(is_terminal: bool, shown: str) -> None:
    out = io.StringIO()
    out.isatty = lambda: is_terminal  # type: ignore[method-assign]
    line = wire(LogLine(seq=1, at=NOW, text=WILD.removesuffix("\n")))

    show(Stream(iter([line]), log_views.log_text(timestamps=False), live=True), Format.TEXT, out)
    assert out.getvalue() == shown

    job = wire(JOB.model_copy(update={"logs": [WILD.removesuffix("\n")]}))
    show(Document(job, job_views.job), Format.TABLE, out)
    assert out.getvalue().endswith(f"\n{shown}")


def test_a_job_opens_with_what_a_person_needs() -> None:
    lines = printed(Document(wire(JOB), job_views.job)).splitlines()

    assert [line.rstrip() for line in lines] == [
        "Job           7",
        "Action        commission",
        "Nodes         node1-a, node2-b",
        "Host group    service-master",
        'Extra vars    {"version": "1.2"}',
        "Status        Errored",
        "Created       2026-11-22T07:31:02Z",
        "Duration      1 h 2 min",
        "Requested by  127.0.0.1",
        "Error         configure failed on node2-b",
        "",
        "NODE     TASK    MESSAGE  LINE  STEP",
        "node2-b  format  no disk  2     configure",
        "",
        "NODE     OK  CHANGED  FAILED  UNREACHABLE  SKIPPED  RESCUED  IGNORED  RESULT",
        "node1-a  3   2        0       0            0        0        0        pass",
        "node2-b  2   0        1       0            0        0        0        fail",
        "node3-c                                                               fail",
        "",
        "PLAY [all] [bold]***[/bold]",
        "\x1b[0;31mfatal\x1b[0m: [node2-b]",
    ]


def test_a_job_says_what_else_there_is_to_know() -> None:
    more = {"retry_of": 3, "cancel_requested_by": "10.0.0.1", "cancel_requested_at": NOW, "log_incomplete": True}

    lines = printed(Document(wire(JOB.model_copy(update=more)), job_views.job_heading)).splitlines()

    assert lines[8:] == [
        "Requested by      127.0.0.1",
        "Retry of          3",
        "Cancel requested  by 10.0.0.1 at 2026-11-22T07:31:02Z",
        "Log               incomplete: some of its lines are missing",
        "Error             configure failed on node2-b",
    ]


def test_log_lines_are_printed_to_the_byte() -> None:
    assert JOB.logs is not None
    assert printed(Document(wire(JOB), job_views.job)).endswith("\n".join(["", *JOB.logs, ""]))


@pytest.mark.parametrize(
    ("lasted", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (-5, "0.0 s"),
    ],
)
def test_durations_read_easily(lasted: float, text: str) -> None:
    job = JOB.model_copy(update={"finished_at": NOW + timedelta(seconds=lasted)})

    assert f"Duration      {text}\n" in printed(Document(wire(job), job_views.job_heading))


def test_the_job_history_is_a_row_each() -> None:
    queued = JOB.model_copy(update={"id": 8, "status": JobStatus.QUEUED, "started_at": None, "error": ""})
    errored = JOB.model_copy(update={"error": "no master"})

    assert printed(Document(wire(Page[Job].last([queued, errored])), job_views.jobs)).splitlines() == [
        "ID  ACTION      NODES             STATUS   CREATED               DURATION   ERROR",
        "8   commission  node1-a, node2-b  Queued   2026-11-22T07:31:02Z",
        "7   commission  node1-a, node2-b  Errored  2026-11-22T07:31:02Z  1 h 2 min  no master",
    ]


def test_nodes_are_a_row_each_with_their_last_event() -> None:
    monitoring = {"label": "node1", "serial_number": "a", "management_address": "::1"}
    inventory = dict.fromkeys(("status", "prev_status"), "Allocated") | dict.fromkeys(
        ("state", "prev_state"), "Discovered"
    )
    configuration = {"inventory_name": "node1-a", "host_group": "service-master", "ssh_address": "::1"}
    node = Node.model_validate(
        {
            "monitoring_state": monitoring,
            "inventory_state": {"name": "node1-a"} | inventory,
            "configuration_state": configuration | {"inventory_vars": {"node_name": "node1-a"}},
            "events": [event(1, "discovered"), event(2, "updated", "pass", job=1)],
        }
    )

    assert printed(Document({"node1-a": wire(node)}, node_views.nodes)).splitlines() == [
        "NAME     ADDRESS  HOST GROUP      STATUS     STATE       LAST EVENT",
        "node1-a  ::1      service-master  Allocated  Discovered  2026-11-22T07:31:02Z updated; result: pass",
    ]
    assert printed(Document(wire(node), node_views.node)).splitlines() == [
        "Node        node1-a",
        "Address     ::1",
        "Host group  service-master",
        "Status      Allocated",
        "State       Discovered",
        "Host vars   node_name=node1-a",
        "",
        "TIME                  EVENT                          CHANGE  JOB  BY  REASON",
        "2026-11-22T07:31:02Z  node1-a discovered",
        "2026-11-22T07:31:02Z  node1-a updated; result: pass          1",
    ]


@pytest.mark.parametrize(
    ("view", "data"),
    [(node_views.nodes, {}), (event_views.events, {"items": [], "next": None}), (setting_views.settings, {})],
)
def test_an_empty_list_is_no_table(view: Callable[[Any], Any], data: Any) -> None:
    assert printed(Document(data, view)) == ""


def test_settings_are_named_by_their_path() -> None:
    data = {"ansible": {"user": "root", "deep": {"list": [1, "é"], "empty": {}}}, "on": True}

    assert printed(Document(data, setting_views.settings)).splitlines() == [
        "NAME                VALUE",
        "ansible.user        root",
        'ansible.deep.list   [1, "é"]',
        "ansible.deep.empty  {}",
        "on                  true",
    ]


def log_line(seq: int, text: str, *, partial: bool = False) -> Any:
    return wire(LogLine(seq=seq, at=NOW, text=text, partial=partial))


def test_a_log_line_in_parts_is_put_together() -> None:
    lines = [log_line(1, "a"), log_line(2, "b", partial=True), log_line(3, "c"), log_line(4, "")]

    assert printed(Stream(iter(lines), log_views.log_text(timestamps=False), live=False)) == "a\nbc\n\n"
    assert printed(Stream(iter(lines), log_views.log_text(timestamps=True), live=False)).splitlines() == [
        "2026-11-22T07:31:02Z  a",
        "2026-11-22T07:31:02Z  bc",
        "2026-11-22T07:31:02Z  ",
    ]


# What programs see


FOREIGN = {"items": [{"id": 1, "neu": "é \ud800"}, {"id": 2}], "next": None, "zzz": {"b": 1.5, "a": [True]}}


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


def test_an_answer_of_an_unknown_shape_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UnexpectedResponse, match=r"items\.0\.at.*--json"):
        read(Page[Event], FOREIGN)


# Staying with a job


class ScriptedClient:
    """A service that answers as a test says: to each request for log lines with the next of the scripts."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.requested: list[Lines] = []

    def log_lines(self, job: int, lines: Lines, *, follow: bool) -> Iterator[Any]:
        assert (job, follow) == (7, True)
        self.requested.append(lines)
        for step in self.scripts.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step


def log_end(lines: int) -> Any:
    end = LogEnd(job=7, status=JobStatus.COMPLETE, lines=lines, log_incomplete=False, log_bytes=0, log_sha256="")
    return wire(end)


def followed(
    client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, lines: Lines = ALL
) -> tuple[list[int], list[str]]:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    notes: list[str] = []
    found = following.log_lines(cast("Client", client), 7, notes.append, lines)
    return [line["seq"] for line in found], notes


def test_a_broken_connection_loses_no_line_and_repeats_none(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = [[log_line(1, "a"), ConnectionLost()], [Unreachable()], [Unavailable()], [log_line(2, "b"), log_end(2)]]
    client = ScriptedClient(*scripts)

    assert followed(client, monkeypatch) == ([1, 2], ["clusterm does not answer; trying again"])
    assert [lines.first for lines in client.requested] == [None, 2, 2, 2]


def test_a_broken_connection_leaves_the_other_conditions_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    client = ScriptedClient([ConnectionLost()], [log_line(8, "a"), ConnectionLost()], [log_line(11, "b"), log_end(12)])
    lines = Lines(first=2, last=11, since=NOW, tail=3, node="a", task="b", failed=True, grep="c", ignore_case=True)

    assert followed(client, monkeypatch, lines)[0] == [8, 11]
    assert client.requested == [lines, lines, replace(lines, first=9, tail=None, since=None)]


def test_a_silent_job_is_no_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    client = ScriptedClient([NoAnswer()], [log_line(1, "a"), NoAnswer()], [log_line(2, "b"), log_end(2)])

    assert followed(client, monkeypatch) == ([1, 2], [])


def test_a_stream_that_closes_is_no_proof_that_the_log_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    client = ScriptedClient([log_line(1, "a")], [], [log_line(2, "b")], [log_end(2)])

    assert followed(client, monkeypatch) == ([1, 2], [])


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        (ALL, ["the log of job 7 ends early: the service has no line 2"]),
        (Lines(node="a"), []),
        (Lines(last=1), []),
    ],
)
def test_a_log_that_lacks_lines_does_not_keep_anybody_waiting(
    monkeypatch: pytest.MonkeyPatch, lines: Lines, notes: list[str]
) -> None:
    client = ScriptedClient([log_line(1, "a"), log_end(2)])

    assert followed(client, monkeypatch, lines) == ([1], notes)


def test_a_service_that_stays_away_ends_the_following(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    client = ScriptedClient(*[[Unreachable("gone")]] * 10)

    with pytest.raises(Unreachable, match="gone"):
        followed(client, monkeypatch)

    assert len(client.requested) == 4


# Sending a request again


class Breaking:
    """A service on a real socket that breaks connections: the first so many, each after it has read the request."""

    def __init__(self, breaks: int, *, port: int = 0) -> None:
        self.keys: list[str | None] = []
        keys = self.keys

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                keys.append(self.headers["Idempotency-Key"])
                if len(keys) > breaks:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(b"{}")

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def client(self, notes: list[str]) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", notes.append)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._on_sleep = on_sleep

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._on_sleep()


@pytest.mark.parametrize(
    "begin",
    [
        lambda client: client.start(Action.UPDATE, ["node1-a"], queue=True),
        lambda client: client.discover(["10.0.0.1"]),
        lambda client: client.retry("last", failed_only=False, queue=False),
    ],
)
def test_a_request_for_a_job_is_repeated_with_its_key(
    begin: Callable[[Client], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "time", Clock())
    service = Breaking(3)
    notes: list[str] = []
    client = service.client(notes)

    assert begin(client) == {}
    assert begin(client) == {}

    client.close()
    service.close()
    first, other = service.keys[0], service.keys[4]
    assert service.keys == [first, first, first, first, other]
    assert first
    assert other not in {None, first}
    assert notes == ["clusterm does not answer; trying again"]


@pytest.mark.parametrize(
    "post",
    [
        lambda client: client.set_globals({}),
        lambda client: client.set_config({}),
        lambda client: client.announce("node1", "a", "10.0.0.1"),
        lambda client: client.cancel(7, cleanup=True),
    ],
)
def test_a_request_that_does_no_more_when_repeated_is_repeated(
    post: Callable[[Client], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "time", Clock())
    service = Breaking(1)
    client = service.client([])

    assert post(client) == {}

    client.close()
    service.close()
    assert len(set(service.keys)) == 1


def test_a_service_that_restarts_gets_the_request_again(monkeypatch: pytest.MonkeyPatch) -> None:
    services = [Breaking(1)]
    pauses = itertools.count(1)

    def restart() -> None:
        pause = next(pauses)
        if pause == 1:
            services[0].close()
        elif pause == 4:
            services.append(Breaking(0, port=services[0].port))

    monkeypatch.setattr(retry, "time", Clock(restart))
    notes: list[str] = []
    client = services[0].client(notes)

    assert client.discover(["10.0.0.1"]) == {}

    client.close()
    services[1].close()
    assert next(pauses) == 5
    assert services[0].keys == services[1].keys != [None]
    assert notes == ["clusterm does not answer; trying again"]


def test_a_request_whose_connection_keeps_breaking_may_have_been_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    service = Breaking(1000)
    client = service.client([])

    with pytest.raises(ConnectionLost, match="may have been executed, see: clusterctl job list"):
        client.discover(["10.0.0.1"])

    client.close()
    service.close()
    assert len(set(service.keys)) == 1
    assert 10 < clock.now < 12


# How it ends


def test_messages_are_one_line_and_leave_the_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    note("one\n  two\x1b[2Jthree")

    assert capsys.readouterr() == ("", "one two\N{REPLACEMENT CHARACTER}[2Jthree\n")


def clusterctl(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}
    command = [sys.executable, "-m", "clusterctl", *args]
    return subprocess.run(command, env=env | environment, capture_output=True, text=True, check=False)


def error_of(run: subprocess.CompletedProcess[str]) -> str:
    assert run.stdout == ""
    [line] = run.stderr.splitlines()
    assert line.startswith("clusterctl: ")
    return line


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        (["--url", "nonsense://", "nodes", "get"], "--url"),
        (["node"], "clusterctl node --help"),
        (["node", "gte", "x"], "'get'"),
        (["nodes", "get", "--bogus"], "clusterctl nodes get --help"),
        (["node", "get"], "clusterctl node get --help"),
        (["node", "commission", "a", "-e", "[]"], "--extra-vars"),
        (["node", "update", "a", "--job-timeout", "soon"], "30m"),
        (["discover", "a", "--idle-timeout", "-1"], "30m"),
        (["job", "cancel", "newest"], "job list"),
        (["job", "wait", "--timeout", "5 m"], "30m"),
        (["global", "set"], "-e '{}'"),
        (["config", "set", "/absent"], "/absent"),
        (["job", "get", "first"], "job list"),
        (["job", "list", "--status", "Happy"], "complete"),
        (["timeline", "-n", "0"], "clusterctl timeline --help"),
        (["timeline", "--since", "whenever"], "2h"),
        (["-o", "xml", "timeline"], "jsonl"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(args: list[str], advice: str) -> None:
    run = clusterctl(*args)

    assert advice in error_of(run)
    assert run.returncode == 2


@pytest.mark.parametrize(
    "args", [["timeline"], ["job", "get", "--follow"], ["discover", "10.0.0.1", "--wait"], ["job", "retry"]]
)
def test_a_service_that_is_not_there_is_one_line_and_exit_3(args: list[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, but not listening
        url = f"127.0.0.1:{closed.getsockname()[1]}"
        run = clusterctl(*args, CLUSTERM_URL=url, http_proxy="http://127.0.0.1:1")

    assert f"cannot reach clusterm at http://{url} " in error_of(run)
    assert run.returncode == 3


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b"{"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"\xff"),
        (302, "text/html", b""),
        (404, "application/json", b"{}"),
        (502, "text/html", b"<html>"),
    ],
)
def test_a_service_that_is_something_else_is_one_line_and_exit_3(status: int, content_type: str, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        run = clusterctl("--url", url, "nodes", "get", "--json")
        thread.join()

    assert f"{url} does not look like clusterm" in error_of(run)
    assert run.returncode == 3


def test_an_answer_of_an_unknown_shape_is_printed_before_it_is_an_error() -> None:
    class Newer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(FOREIGN).encode())

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Newer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        run = clusterctl("--url", f"http://127.0.0.1:{server.server_port}", "timeline", "--json")
        thread.join()

    assert json.loads(run.stdout) == FOREIGN
    assert run.stderr.startswith("clusterctl: ")
    assert run.returncode == 1


def test_an_output_that_cannot_be_written_is_one_line_and_exit_1() -> None:
    command = [sys.executable, "-m", "clusterctl", "--version"]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert run.stderr == "clusterctl: cannot print the result: No space left on device\n"
    assert run.returncode == 1


def test_it_loads_nothing_of_the_service() -> None:
    code = "import sys, clusterctl.run; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    modules = set(run.stdout.split())
    assert modules.isdisjoint({"sqlmodel", "sqlalchemy", "fastapi", "starlette", "pydantic_settings", "yaml"})
    assert {name for name in modules if name.startswith("clusterm.") and "schemas" not in name} == {
        "clusterm.common",
        "clusterm.common.durations",
        "clusterm.common.files",
        "clusterm.common.ip_ranges",
        "clusterm.common.paths",
        "clusterm.common.sizes",
        "clusterm.common.ssh_keys",
        "clusterm.enums",
    }


# Its help


def commands(command: Any, path: str = "clusterctl") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_every_option_is_explained(path: str) -> None:
    command = COMMANDS[path]

    assert command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_all_that_prints_an_answer_can_print_json() -> None:
    leaves = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}

    without = {
        path for path, command in leaves.items() if not any("--json" in parameter.opts for parameter in command.params)
    }

    assert len(leaves) > 15
    assert without == {"clusterctl login", "clusterctl logout"}  # which print no answer


def test_short_names_stand_for_commands_that_exist() -> None:
    root = COMMANDS["clusterctl"]
    for short, name in Nouns.short.items():
        assert root.get_command(None, short) is root.commands[name]

    verbs = {
        name for path, command in COMMANDS.items() if path.count(" ") == 1 for name in getattr(command, "commands", [])
    }
    assert set(Verbs.short.values()) <= verbs
    for short, name in Verbs.short.items():
        for noun in ("node", "nodes", "global", "config"):
            group = COMMANDS[f"clusterctl {noun}"]
            assert group.get_command(None, short) is group.commands.get(name)
