"""A few rounds of `chaos.py`, and the table that says what becomes of a job whatever dies."""

import ast
import re
from pathlib import Path

import pytest
from support.documents import DOCS, ROOT
from system.chaos import Round

TABLE = DOCS / "explanation" / "failure-modes.md"
_NAMED = r"`(tests/[\w/]+\.py)::(\w+)`"


@pytest.mark.parametrize("seed", [9, 43, 26])  # without wrappers killed, with them, and with real ansible
def test_a_round_of_chaos(seed: int, tmp_path: Path) -> None:
    Round(seed, tmp_path / "clusterm").run(jobs=1)


def test_every_row_of_the_table_names_its_tests() -> None:
    rows = [line for line in TABLE.read_text().splitlines() if re.match(r"\| (?!---)", line)]
    assert len(rows) > 10
    assert [row for row in rows if not re.search(_NAMED, row) and not row.endswith("| tests |")] == []


@pytest.mark.parametrize("named", sorted(set(re.findall(_NAMED, TABLE.read_text()))), ids="::".join)
def test_every_test_that_the_table_names_exists(named: tuple[str, str]) -> None:
    file, name = named
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
