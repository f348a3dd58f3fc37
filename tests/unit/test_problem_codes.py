"""Each code of a problem is raised somewhere, with its status, and with the facts that contiv's phrase for it names."""

import ast
import re
from collections.abc import Iterator
from string import Formatter

import pytest
from support.documents import ROOT

from clusterm.common import contiv
from clusterm.problem_codes import ProblemCode

STATUSES = {"BadRequest": 400, "NotFound": 404, "Conflict": 409, "Unauthorized": 401, "TooManyRequests": 429}
"""The status that the name of an exception promises."""

DEFINITIONS = ("problem_codes.py", "contiv.py")


def trees() -> Iterator[ast.AST]:
    for file in sorted((ROOT / "src" / "clusterm").rglob("*.py")):
        if file.name not in DEFINITIONS:
            yield ast.parse(file.read_text())


def codes_in(node: ast.AST) -> list[ProblemCode]:
    return [
        ProblemCode[each.attr]
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "ProblemCode"
    ]


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, ProblemCode, set[str]]]:
    """Name of the exception, code, and names of the facts of every error that is created with a code."""
    return [
        (name, code, {keyword.arg or "" for keyword in call.keywords})
        for tree in trees()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for name in [getattr(call.func, "id", getattr(call.func, "attr", ""))]
        for argument in call.args
        if isinstance(argument, ast.Attribute)
        for code in codes_in(argument)
    ]


def test_every_code_is_in_use() -> None:
    assert {code for tree in trees() for code in codes_in(tree)} == set(ProblemCode)


def test_an_error_has_the_status_that_its_name_promises(calls: list[tuple[str, ProblemCode, set[str]]]) -> None:
    wrong = [(name, code) for name, code, _ in calls if STATUSES.get(name, code.status) != code.status]
    assert not wrong
    assert {name for name, _, _ in calls} >= STATUSES.keys()


def test_an_error_has_the_facts_of_contiv_s_phrase(calls: list[tuple[str, ProblemCode, set[str]]]) -> None:
    for name, code, facts in calls:
        template = contiv.PHRASES.get(code, "")
        assert {field for _, field, _, _ in Formatter().parse(template) if field} <= facts, (name, code)


def test_codes_are_words_and_types_name_no_host() -> None:
    for code in ProblemCode:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+|misdirected|drained", code)
        assert code.type == f"urn:clusterm:problem:{code}"
        assert code.meaning.endswith(".")
