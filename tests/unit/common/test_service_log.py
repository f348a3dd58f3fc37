"""Formats of the service log."""

import io
import json
import logging
import sys
from typing import Any

import pytest

from clusterm.common import service_log
from clusterm.common.service_log import Formatter, JobLogger
from clusterm.enums import LogFormat


def record(message: str, *args: Any, level: int = logging.INFO, **members: Any) -> logging.LogRecord:
    made = {"name": "clusterm.x", "msg": message, "args": args, "levelno": level, "levelname": "INFO", "created": 1.5}
    return logging.makeLogRecord(made | service_log.log_fields(**members))


def test_text() -> None:
    about: dict[str, Any] = {"job": 7, "action": "commission", "nodes": [f"node{number}" for number in range(7)]}
    text = Formatter(LogFormat.TEXT)
    assert text.format(record("listens on %s", "port")) == "1970-01-01T00:00:01.500Z INFO listens on port"
    assert text.format(record("started", **about)) == (
        "1970-01-01T00:00:01.500Z INFO job 7 (commission node0 node1 node2 node3 node4 and 2 more): started"
    )
    assert "(commission node0): " not in text.format(record("PLAY", line=3, **about))
    assert " and 2 more) line 3: PLAY" in text.format(record("PLAY", line=3, **about))


FORGED = "refused\n<0>2026-11-22T00:00:00.000Z INFO job 1 (x): all is well\r\x1b[2K\x85\u2028\u202e\udcff"


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize("to_journal", [False, True])
def test_a_message_cannot_forge_a_line(log_format: LogFormat, to_journal: bool) -> None:
    failed = record(FORGED, level=logging.ERROR, job=1, action=FORGED, nodes=[FORGED])
    line = Formatter(log_format, to_journal=to_journal).format(failed)
    assert line.isprintable()
    assert line.startswith("<3>") is to_journal
    if log_format is LogFormat.JSON:
        assert json.loads(line.removeprefix("<3>"))["message"] == FORGED


def test_an_exception_is_indented_and_every_line_of_it_has_its_priority() -> None:
    def fail() -> None:
        raise ValueError("no\n<0>2026-11-22T00:00:00.000Z INFO such thing")

    try:
        fail()
    except ValueError:
        failed = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", None, sys.exc_info())
    first, *others = Formatter(LogFormat.TEXT, to_journal=True).format(failed).split("\n")
    assert first.endswith("ERROR it failed")
    assert len(others) > 3
    assert [line for line in others if not line.startswith("<3>    ")] == []
    assert "ValueError: no" in json.loads(Formatter(LogFormat.JSON).format(failed))["exception"]


def test_what_an_executor_wrote_is_passed_on_as_it_was() -> None:
    written = Formatter(LogFormat.JSON).format(record("step %s started", "configure", job=7, nodes=["a"], step="x"))
    assert Formatter(LogFormat.JSON).format(service_log.parse(written, {"job": 8})) == written
    for odd in ("Segmentation fault", "[]", "{}", '{"level": "x"}', '{"at": 1, "level": "info"}', ""):
        said = json.loads(Formatter(LogFormat.JSON).format(service_log.parse(odd, {"job": 8})))
        assert (said["message"], said["job"], said["level"]) == (odd, 8, "warning")


def test_a_line_fits_into_the_journal() -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(Formatter(LogFormat.JSON))
    logger = logging.Logger("test")  # noqa: LOG001
    logger.addHandler(handler)
    JobLogger(logger, 1, "update", [f"node{number}" for number in range(5000)]).info("\N{SNOWMAN}" * 100_000)
    (line,) = lines.getvalue().splitlines()
    assert len(line) <= 48 * 1024
    assert json.loads(line)["nodes"][-1] == "and 4900 more"
