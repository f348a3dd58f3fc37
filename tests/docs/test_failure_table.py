"""The table of failures names tests that exist."""

import ast
import re

import pytest
from support.documents import DOCS, ROOT

TABLE = DOCS / "explanation" / "failure-modes.md"
_NAMED = r"`(tests/[\w/]+\.py)::(\w+)`"


def test_every_row_of_the_table_names_its_tests() -> None:
    rows = [line for line in TABLE.read_text().splitlines() if re.match(r"\| (?!---)", line)]
    assert len(rows) > 10
    assert [row for row in rows if not re.search(_NAMED, row) and not row.endswith("| tests |")] == []


@pytest.mark.parametrize("named", sorted(set(re.findall(_NAMED, TABLE.read_text()))), ids="::".join)
def test_every_test_that_the_table_names_exists(named: tuple[str, str]) -> None:
    file, name = named
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
