"""The order in which a result is printed."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from clusterctl.errors import Refused
from clusterctl.output.output import Document, Format, Note, Result, Stream, print_result


def text(data: Any) -> Iterator[str]:
    yield f"{data}\n"


def printed(result: Result, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    print_result(result, Format.TEXT, sys.stdout)
    out, err = capsys.readouterr()
    return out, err


def test_parts_are_printed_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result([Document("first", text), Note("a hint"), Document("second", text)])

    assert printed(result, capsys) == ("first\nsecond\n", "a hint\n")


def test_the_rest_is_made_once_a_stream_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []

    def items() -> Iterator[str]:
        yield "line"
        done.append("stream")

    def rest() -> Result:
        assert done == ["stream"]
        return Result([Document("outcome", text)], then=lambda: Result([Note("ended")]))

    result = Result([Stream(items(), lambda lines: (f"{line}\n" for line in lines), live=True)], then=rest)

    assert printed(result, capsys) == ("line\noutcome\n", "ended\n")


def test_an_error_comes_after_what_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> Result:
        raise Refused("no")

    with pytest.raises(Refused):
        print_result(Result([Document("plan", text)], then=refuse), Format.TEXT, sys.stdout)

    assert capsys.readouterr().out == "plan\n"


def test_a_result_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(Result(), capsys) == ("", "")
