"""The choice of a format by the Accept header."""

import pytest

from clusterm.routes.event_formats import _preferred

FORMS = ("application/json", "application/x-ndjson", "text/csv")


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/html", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; header=present", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("text/csv;q=0, */*", "application/json"),
        ("text/csv;q=much", "application/json"),
        (",;=\x00", "application/json"),
    ],
)
def test_accept_chooses_the_form(accept: str, encoding: str) -> None:
    assert _preferred(accept, FORMS) == encoding
