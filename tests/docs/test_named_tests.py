"""Tables whose last column names tests: each row names some, and they exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.documents import DOCS, ROOT

PAGES = [DOCS / "explanation" / "failure-modes.md", DOCS / "explanation" / "threat-model.md"]
_NAMED = r"`(tests/[\w/]+\.py)::(\w+)`"


def rows(text: str) -> Iterator[str]:
    """Yield the rows of the tables that have a last column `tests`."""
    has_tests = False
    previous = ""
    for line in text.splitlines():
        if line.startswith("| ---"):
            has_tests = previous.endswith("| tests |")
        elif not line.startswith("|"):
            has_tests = False
        elif has_tests:
            yield line
        previous = line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_row_names_its_tests(page: Path) -> None:
    found = list(rows(page.read_text()))
    assert len(found) > 20
    assert [row for row in found if not re.search(_NAMED, row.split("|")[-2])] == []


@pytest.mark.parametrize(
    "named", sorted({named for page in PAGES for named in re.findall(_NAMED, page.read_text())}), ids="::".join
)
def test_every_test_that_is_named_exists(named: tuple[str, str]) -> None:
    file, name = named
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
