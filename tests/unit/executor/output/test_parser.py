"""Lines and records out of a job's output."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clusterm.executor.output import parser
from clusterm.executor.output.parser import MAX_LINE_BYTES, MAX_RECORD_BYTES, Line, OutputParser, Record

NONCE = "n0nce"
MARKER = b"\x1en0nce "

# What the reader has to tell apart, longer and shorter than `small_limits`.
pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"\0", b"\x1e", MARKER, MARKER[:4], b'{"a":1}', b"[1]", b'{"a":', b"\xff", b"\xe2\x82"]
    + [MARKER + b'{"a":"%s"}\n' % (b"y" * length) for length in (1, 20, 60)]
    + ["ä".encode(), "€".encode(), "💾".encode(), b"z" * 9, b"0123456789" * 7]
)
outputs = st.lists(st.one_of(pieces, st.binary(max_size=6)), max_size=30).map(b"".join)


@contextmanager
def small_limits() -> Iterator[None]:
    """Make the limits so small that examples reach them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "MAX_LINE_BYTES", 16)
        patch.setattr(parser, "MAX_RECORD_BYTES", 64)
        yield


def read(output: bytes, offset: int = 0) -> list[Line | Record]:
    """Read what comes after an offset, all of it at once."""
    whole = OutputParser(NONCE, offset)
    return [*whole.feed(output[offset:]), *whole.close()]


def texts(output: bytes) -> list[str | dict[str, object]]:
    """Read it, and leave out where everything ends."""
    return [found.text if isinstance(found, Line) else found.data for found in read(output)]


@given(output=outputs, sizes=st.lists(st.integers(1, 40), min_size=1))
@example(output=b"z" * 16 + MARKER + b'{"a":1}\n', sizes=[18])
@example(output=MARKER + b'{"a":"%s"}\n' % (b"y" * 30), sizes=[32])
def test_it_does_not_matter_in_which_pieces_it_is_read(output: bytes, sizes: list[int]) -> None:
    with small_limits():
        in_pieces = OutputParser(NONCE)
        found: list[Line | Record] = []
        start = 0
        for size in cycle(sizes):
            found += in_pieces.feed(output[start : start + size])
            start += size
            if start >= len(output):
                break
        found += in_pieces.close()
        assert found == read(output)


@given(output=outputs)
@example(MARKER + b"{" + b" " * 80 + b"}\n")
def test_reading_can_go_on_after_any_line_or_record(output: bytes) -> None:
    with small_limits():
        found = read(output)
        for number, last in enumerate(found, 1):
            assert read(output, last.end) == found[number:]


@given(output=outputs)
@example(b"z" * 16 + MARKER + b'{"a":1}\n')
def test_nothing_is_lost(output: bytes) -> None:
    with small_limits():
        found = read(output)
    ends = [0, *(each.end for each in found)]
    assert ends[-1] == len(output)
    for start, each in zip(ends, found, strict=False):
        written = output[start : each.end]
        assert written
        if isinstance(each, Record):
            assert written == MARKER + written[len(MARKER) : -1] + b"\n"
            assert json.loads(written[len(MARKER) :]) == each.data
            continue
        whole = written.endswith(b"\n")
        text = written[:-1].removesuffix(b"\r") if whole else written
        assert each.text == text.decode(errors="backslashreplace").replace("\0", "\\x00")
        last = whole or each.end == len(output) or output.startswith(MARKER, each.end)
        assert each.partial == (not last)
        assert len(written) <= 17 if last else 13 <= len(written) <= 16


@given(text=st.text(st.characters(exclude_characters="\n\0", codec="utf-8")))
def test_no_character_is_torn(text: str) -> None:
    with small_limits():
        assert "".join(line.text for line in read(text.encode()) if isinstance(line, Line)) == text


def test_lines() -> None:
    assert read(b"one\n\ntwo\r\nthr\ree\nfour") == [
        Line(4, "one", partial=False),
        Line(5, "", partial=False),
        Line(10, "two", partial=False),
        Line(17, "thr\ree", partial=False),
        Line(21, "four", partial=False),
    ]


def test_an_unfinished_line_waits() -> None:
    unfinished = OutputParser(NONCE, 1000)
    assert list(unfinished.feed(b"one\ntw")) == [Line(1004, "one", partial=False)]
    assert list(unfinished.feed(b"o")) == []
    assert list(unfinished.feed(b"\nthree")) == [Line(1008, "two", partial=False)]
    assert list(unfinished.close()) == [Line(1013, "three", partial=False)]


def test_what_is_not_iterated_over_comes_later() -> None:
    careless = OutputParser(NONCE)
    careless.feed(b"one\n")
    assert next(careless.feed(b"two\nthree\n")) == Line(4, "one", partial=False)
    assert [line.end for line in careless.close()] == [8, 14]


def test_bytes_that_are_no_text() -> None:
    assert texts(b"\xff\xfe ok\0 \x1b[31mred\x1b[0m\n\xe2\x82") == [
        "\\xff\\xfe ok\\x00 \x1b[31mred\x1b[0m",
        "\\xe2\\x82",
    ]


def test_records() -> None:
    assert read(b'one\n\x1en0nce {"event":"play","play":"\xc3\xa4"}\ntwo\n') == [
        Line(4, "one", partial=False),
        Record(40, {"event": "play", "play": "ä"}),
        Line(44, "two", partial=False),
    ]


def test_a_record_after_an_unfinished_line() -> None:
    assert texts(b'one\x1en0nce {"a":1}\n\x1en0nce {"b":2}\ntwo') == ["one", {"a": 1}, {"b": 2}, "two"]


@pytest.mark.parametrize(
    "text",
    [
        '\x1eguess {"a":1}',  # another nonce
        '\x1en0nce{"a":1}',
        ' n0nce {"a":1}',
        '\x1en0nce {"a":',  # torn
        '\x1en0nce [{"a":1}]',  # no object
        "\x1en0nce NaN",
        "\x1en0nce " + "[" * 100_000,
        '\x1en0nce {"a":"' + "\\ud800" + '"}',  # no character, and so nothing that can be stored
    ],
)
def test_what_is_no_record_is_text(text: str) -> None:
    found = read(text.encode() + b"\nnext\n")
    assert "".join(line.text for line in found[:-1] if isinstance(line, Line)) == text
    assert isinstance(found[-1], Line)
    assert found[-1].text == "next"


def test_a_torn_record_does_not_hide_the_next() -> None:
    assert texts(b'\x1en0nce {"a":\x1en0nce {"b":2}\n') == ['\x1en0nce {"a":', {"b": 2}]


def test_long_lines_come_in_parts() -> None:
    exact = b"x" * MAX_LINE_BYTES
    assert [line.partial for line in read(exact + b"\n") if isinstance(line, Line)] == [False]
    assert read(exact + b"yz\n") == [
        Line(MAX_LINE_BYTES, exact.decode(), partial=True),
        Line(MAX_LINE_BYTES + 3, "yz", partial=False),
    ]


def test_a_long_line_is_not_kept_in_memory() -> None:
    long = OutputParser(NONCE)
    for _ in range(200):
        list(long.feed(b"x" * 50_000))
        assert len(long._buffer) < 2 * MAX_LINE_BYTES
    assert all(line.partial for line in long.feed(b"x" * MAX_LINE_BYTES) if isinstance(line, Line))


def test_long_records() -> None:
    head, tail = b'\x1en0nce {"a":"', b'"}\n'
    longest = head + b"x" * (MAX_RECORD_BYTES - len(head) - len(tail)) + tail
    assert [type(each) for each in read(longest)] == [Record]
    longer = longest.replace(b"x", b"xx", 1)
    assert {type(each) for each in read(longer)} == {Line}
