"""Secrets do not get into a log, however they are written there and wherever its reader stops."""

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterm.common.redaction import MASK, SecretNames, secrets_in
from clusterm.executor.output.parser import MAX_LINE_BYTES, Line, OutputParser, Record
from clusterm.secrets.masking import MAX_SECRET_LENGTH, Masker

NONCE = "0123456789abcdef0123456789abcdef"
SECRET = "can\"ary's/ä+%\\x{9}"
KEY = "-----BEGIN KEY-----\nb3BlbnNzaC1rZXk\n  dGVzdGluZyBpdA==\n-----END KEY-----\n"


def read(output: bytes, secrets: list[str], *pieces: int) -> list[Line | Record]:
    """Read an output that comes in pieces which end at the given places."""
    reader = OutputParser(NONCE, 0, Masker(secrets))
    found: list[Line | Record] = []
    for start, end in zip([0, *sorted(pieces)], [*sorted(pieces), len(output)], strict=True):
        found += reader.feed(output[start:end])
    return [*found, *reader.close()]


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"a": SECRET})),
        repr(SECRET)[1:-1],
        SECRET.replace("'", "'\"'\"'"),
        quote(SECRET),
        quote(SECRET, safe=""),
        re.sub("%..", lambda escape: escape[0].lower(), quote(SECRET, safe="")),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode() + b"\n").decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_masked_however_it_is_written(written: str) -> None:
    masked = Masker([SECRET]).mask(f"before {written} after")
    assert MASK in masked
    assert re.fullmatch(r'before ["{}a:\\ ]*\*{8}["{}\\]* after', masked), masked


def test_most_of_a_secret_is_masked_wherever_base64_has_it() -> None:
    for before in ("", "a", "ab", "user:"):
        encoded = base64.b64encode(f"{before}{SECRET}".encode()).decode()
        masked = Masker([SECRET]).mask(f"Authorization: Basic {encoded}")
        assert MASK in masked
        assert len(masked) < len("Authorization: Basic ") + len(MASK) + len(before) * 2 + 5


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    (line,) = read(json.dumps({"key": KEY}).encode(), [KEY])
    assert isinstance(line, Line)
    assert line.text == f'{{"key": "{MASK}\\n{MASK}\\n  {MASK}\\n{MASK}\\n"}}'
    assert [line.text for line in read(KEY.encode(), [KEY]) if isinstance(line, Line)] == [
        MASK,
        MASK,
        f"  {MASK}",
        MASK,
    ]


def test_short_values_are_left_alone() -> None:
    assert Masker(["abc", "", "x\ny", MASK]).mask(f"abc x y {MASK}") == f"abc x y {MASK}"


@pytest.mark.parametrize("text", ["secret", "secretary", "tarysecret", "secretarysecret"])
def test_secrets_that_hold_or_overlap_others_are_masked_as_a_whole(text: str) -> None:
    assert Masker(["secret", "tarysecret", "secretary"]).mask(f"<{text}>") == f"<{MASK}>"


def test_what_is_left_of_a_secret_where_a_text_was_cut_is_masked() -> None:
    masker = Masker(["correct-horse-battery"])
    assert masker.mask("(item=correct-horse-…) and correct-…") == f"(item={MASK}…) and {MASK}…"
    assert masker.mask("cor…") == "cor…"


_secrets = st.lists(st.text(alphabet="ab{\"'/", min_size=4, max_size=9), min_size=1, max_size=4)
_texts = st.lists(st.text(alphabet="ab{\"'/\n", max_size=12) | st.none(), max_size=12)


@given(_secrets, _texts, st.lists(st.integers(0, 120), max_size=5))
def test_no_secret_gets_past_however_the_output_is_torn(
    secrets: list[str], texts: list[str | None], pieces: list[int]
) -> None:
    output = "".join(secrets[0] if text is None else text for text in texts).encode()
    whole = read(output, secrets)
    assert read(output, secrets, *(min(piece, len(output)) for piece in pieces)) == whole
    for line in whole:
        assert isinstance(line, Line)
        for secret in secrets:
            assert secret not in line.text
    plain = read(output, [])
    assert [item.end for item in whole] == [item.end for item in plain], "masks do not move anything"


@pytest.mark.parametrize("before", [*range(MAX_LINE_BYTES - len(SECRET) - 3, MAX_LINE_BYTES + 1)])
def test_a_line_is_not_cut_in_a_secret(before: int) -> None:
    lines = read(b"x" * before + f"{SECRET}tail".encode(), [SECRET])
    assert all(isinstance(line, Line) for line in lines)
    text = "".join(line.text for line in lines if isinstance(line, Line))
    assert text == "x" * before + MASK + "tail"


def test_a_secret_that_is_nearly_as_long_as_a_line_may_be() -> None:
    secret = "".join(f"{number:08}" for number in range(MAX_SECRET_LENGTH // 8))
    lines = read(f"{'x' * 100}{secret}\nafter\n".encode(), [f"{secret}more"])
    assert [line.text for line in lines if isinstance(line, Line)] == ["x" * 100, MASK, "after"]


def test_a_record_tells_whether_there_is_a_secret_in_it() -> None:
    record = {"event": "result", "message": f"it was {SECRET}"}
    output = b"\x1e%s %s\n\x1e%s {}\n" % (NONCE.encode(), json.dumps(record).encode(), NONCE.encode())
    first, second = read(output, [SECRET], 40)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.data, first.secret, second.secret) == (record, True, False)


@pytest.mark.parametrize(
    ("variables", "secrets"),
    [
        ({"password": "a", "other": "b"}, ["a"]),
        ({"a": [{"api_token": [1, {"x": "b"}]}]}, ["1", "b"]),
        ({"password": True, "token": None, "secret": 1.5}, ["1.5"]),
        ({"community": "public", "deep": {"licence": {"key": "l"}}}, ["public", "l"]),
        ({"__ansible_vault": "c"}, []),
    ],
)
def test_which_values_are_secret(variables: dict[str, Any], secrets: list[str]) -> None:
    assert list(secrets_in(variables, SecretNames(names=["community", "licence"]))) == secrets
