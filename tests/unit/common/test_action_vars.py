"""The vars of a request, checked against the declarations of its action."""

from typing import Any

import pytest

from clusterm.common.action_vars import VarProblem, check_value, complete_vars, parse_text
from clusterm.common.actions import ACTIONS, VarSpec
from clusterm.enums import VarType

VARS = (
    VarSpec("release", required=True, pattern=r"\d+\.\d+", description="Release to install"),
    VarSpec("reboot", VarType.CHOICE, choices=("if-needed", "always", 1), default="if-needed"),
    VarSpec("pool", secret=True, min=12),
)
PATCH = ACTIONS["update"].with_terms(name="patch", vars=VARS, any_vars=False)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"relase": "9.4"}, 'patch has no var "relase". Vars: release (required), reboot, pool'),
        ({}, 'patch needs the var "release": Release to install'),
        ({"release": "9"}, r'"release" has to match \d+\.\d+, which "9" does not'),
        ({"release": 9}, '"release" has to be a string, not 9'),
        ({"release": "9.4", "reboot": "yes"}, '"reboot" has to be one of if-needed, always, 1, not "yes"'),
        ({"release": "9.4", "reboot": True}, '"reboot" has to be one of if-needed, always, 1, not true'),
        ({"release": "9.4", "pool": "hunter2"}, '"pool" has to have at least 12 characters'),
        ({"release": "9.4", "pool": 7}, '"pool" has to be a string'),
    ],
)
def test_each_problem_is_named(given: Any, problem: str) -> None:
    with pytest.raises(VarProblem) as found:
        complete_vars(PATCH, given, ())
    assert str(found.value) == problem


def test_defaults_complete_a_request_unless_something_else_gives_the_var() -> None:
    assert complete_vars(PATCH, {"release": "9.4"}, ()) == {"release": "9.4", "reboot": "if-needed"}
    assert complete_vars(PATCH, {}, {"release", "reboot"}) == {}
    assert complete_vars(PATCH.with_terms(any_vars=True), {"release": "9.4", "x": 1}, {"reboot"})["x"] == 1


@pytest.mark.parametrize(
    ("var", "good", "bad"),
    [
        (VarSpec("v", VarType.INTEGER, min=1, max=3), [1, 3], [0, 4, 1.5, "1", True, None]),
        (VarSpec("v", VarType.NUMBER, max=0.5), [0, 0.5, -1], [0.6, "0", False]),
        (VarSpec("v", VarType.BOOLEAN), [True, False], [0, "true", None]),
        (VarSpec("v", VarType.LIST, min=1, max=2), [["a"], [1, {}]], [[], [1, 2, 3], "a", {}]),
        (VarSpec("v", VarType.OBJECT), [{}, {"a": 1}], [[], "a", None]),
        (VarSpec("v", pattern="a+"), ["a", "aa"], ["", "ab", "a" * 4097]),
    ],
)
def test_values_are_of_their_type_and_in_bounds(var: VarSpec, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check_value(var, value)
    for value in bad:
        with pytest.raises(VarProblem):
            check_value(var, value)


@pytest.mark.parametrize(
    ("var", "text", "value"),
    [
        (VarSpec("v"), "true", "true"),
        (VarSpec("v", VarType.BOOLEAN), "true", True),
        (VarSpec("v", VarType.INTEGER), "7", 7),
        (VarSpec("v", VarType.INTEGER), "seven", "seven"),
        (VarSpec("v", VarType.LIST), "a, b", ["a", "b"]),
        (VarSpec("v", VarType.LIST), "[1]", [1]),
        (VarSpec("v", VarType.CHOICE, choices=("a", 1, True)), "1", 1),
        (VarSpec("v", VarType.CHOICE, choices=("a", 1, True)), "true", True),
    ],
)
def test_texts_of_a_command_line_get_the_declared_type(var: VarSpec, text: str, value: Any) -> None:
    assert parse_text(var, text) == value
    assert type(parse_text(var, text)) is type(value)
