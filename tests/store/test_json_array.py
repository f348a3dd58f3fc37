"""A job's log as a JSON array that is read in parts."""

import json

import pytest
from support.rows import add_logged_job

from clusterm.logs.json_array import encode_log
from clusterm.store.engine import Store

PARTS = [("a", True), ('"b"', True), ("\\", False), ("", False), ("Straße\t\x00\u2028", False), ("\ud7ff😀", True)]


def store_lines(store: Store, job_id: int, lines: list[tuple[str, bool]]) -> None:
    with store.write() as session:
        connection = session.connection()
        connection.exec_driver_sql("DELETE FROM log_lines")
        rows = [(job_id, seq, "2026-11-22 07:00:00.000000", *line) for seq, line in enumerate(lines, start=1)]
        connection.exec_driver_sql(
            "INSERT INTO log_lines (job_id, seq, at, text, partial) VALUES (?, ?, ?, ?, ?)", rows
        )


@pytest.mark.sqlite_only
def test_parts_of_a_line_are_joined_and_characters_escaped(store: Store) -> None:
    job_id = add_logged_job(store, 6)
    store_lines(store, job_id, PARTS)
    assert json.loads(b"".join(encode_log(store, job_id, 6))) == ['a"b"\\', "", "Straße\t\x00\u2028", "\ud7ff😀"]
    assert json.loads(b"".join(encode_log(store, job_id, 2))) == ['a"b"']
    assert json.loads(b"".join(encode_log(store, job_id, 0))) == []


@pytest.mark.sqlite_only
def test_a_long_log_comes_in_small_parts(store: Store) -> None:
    job_id = add_logged_job(store, 5000)
    lines = [(f"{number} {'x' * 200}", number % 3 == 0) for number in range(5000)]
    store_lines(store, job_id, lines)
    parts = list(encode_log(store, job_id, 5000))
    assert max(map(len, parts)) < 200_000
    whole = "".join(f"{text}{'' if partial else chr(10)}" for text, partial in lines).splitlines()
    assert json.loads(b"".join(parts)) == whole
