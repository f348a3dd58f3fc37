"""Following the log of a job over lost connections."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from support.factories import NOW, log_line, wire

from clusterctl.api import following
from clusterctl.api.models import ALL, Lines
from clusterctl.api.rest import RestClient
from clusterctl.errors import ConnectionLost, NoAnswer, Unavailable, Unreachable
from clusterm.enums import JobStatus
from clusterm.schemas import LogEnd


class ScriptedClient:
    """A service that answers as a test says: to each request for log lines with the next of the scripts."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.requested: list[Lines] = []

    def alive(self, timeout: float) -> None:
        """The service is alive."""

    def log_lines(self, job: int, lines: Lines, *, follow: bool, silence: float) -> Iterator[Any]:
        assert (job, follow) == (7, True)
        assert silence > 0
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
    found = following.log_lines(cast("RestClient", client), 7, notes.append, lines)
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
