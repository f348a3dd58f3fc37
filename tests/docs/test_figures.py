"""Figures in the docs are those of the code."""

import re

import pytest
from support.documents import ROOT

from clusterm.store import engine, sqlite

FIGURES = [
    ("docs/explanation/the-store.md", f"waits for the lock for up to {engine.BUSY_TIMEOUT_S:g} seconds"),
    ("docs/explanation/the-store.md", f"cut to {sqlite.MAX_EMPTY_WAL_BYTES // 2**20} MiB"),
]


@pytest.mark.parametrize(("page", "text"), FIGURES)
def test_the_docs_state_what_the_code_does(page: str, text: str) -> None:
    assert text in re.sub(r"\s+", " ", (ROOT / page).read_text())
