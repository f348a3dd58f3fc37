"""What clusterctl accepts as values on its command line."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.factories import NOW

from clusterctl.errors import Usage
from clusterctl.parsing import parse_duration, parse_extra_vars, parse_job, parse_since, read_mapping


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("1w2d", NOW - timedelta(days=9)),
        ("2026-11-22T07:31:02Z", datetime(2026, 11, 22, 7, 31, 2, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
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
        "2026-13-22",
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


@pytest.mark.parametrize("text", ["active", "last", "good", "7"])
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
        (b"a: 2026-13-01", "no date: month must be in 1..12, line 1"),
        (b"a: .nan", ".nan is no number that JSON can hold, line 1"),
        (b"a:\n  - -.inf", "-.inf is no number that JSON can hold, line 2"),
        (b'{"a": 1e400}', "not JSON compliant"),
        (b"a: !!binary aGk=", "!!binary is no value that JSON can hold: give its text, line 1"),
        (b"a: !foo b", "the tag !foo is not known, line 1"),
        (b"a: {80: http}", "the key 80 is no text, which JSON has no form for: put it into quotes, line 1"),
        (b"yes: 1", "the key True is no text"),
        (b"a: 1\nb: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3132", "encrypted with ansible vault; .*, line 2"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3132\n", "encrypted with ansible vault: .*ansible-vault view"),
        (b"a: &a [*a]", "Circular"),
        (b"a: 1\n---\nb: 2\n", "another document, line 2"),
        ("a: 1".encode("utf-16"), "UTF-8"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    file = tmp_path / "vars"
    file.write_bytes(text)

    with pytest.raises(Usage, match=reason) as refusal:
        read_mapping(str(file))

    assert str(file) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["a: x\r\nb: [1,\r\n 2]\r\n", '\ufeff{"a": "x", "b": [1, 2]}', "\ufeffa: x\r\nb: [1, 2]"]
)
def test_files_of_windows_editors_are_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "vars"
    file.write_bytes(text.encode())

    assert read_mapping(str(file)) == {"a": "x", "b": [1, 2]}


def test_toml_dates_are_text(tmp_path: Path) -> None:
    file = tmp_path / "vars.toml"
    file.write_text("a = 2024-01-31\nb = [2024-01-31T10:00:00Z, {c = 10:00:00}]\nd = 20261126000000000001\n")

    assert read_mapping(str(file)) == {
        "a": "2024-01-31",
        "b": ["2024-01-31 10:00:00+00:00", {"c": "10:00:00"}],
        "d": 20261126000000000001,
    }


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"cannot read .*absent: No such file"):
        read_mapping(str(tmp_path / "absent"))
