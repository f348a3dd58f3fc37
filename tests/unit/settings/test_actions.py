"""The section `actions`: what is accepted, what is refused, and the definitions that it makes."""

from typing import Any

import pytest
from pydantic import ValidationError

from clusterm.common.actions import ACTIONS
from clusterm.enums import CheckUse, EventName, Status, TokenRole
from clusterm.errors import NotFound
from clusterm.settings import Settings

PATCH: dict[str, Any] = {
    "description": "Install security updates",
    "steps": [
        {"name": "drain", "playbook": "drain.yml"},
        {"name": "patch", "playbook": "patch.yml", "tags": ["security"], "timeout": "45m"},
    ],
    "health": {"playbook": "health.yml", "settle": "1m", "retries": 5, "delay": "30s"},
    "rollback": {"playbook": "undrain.yml", "on": ["failed"], "nodes": "batch"},
    "batch": ["1", "10%", "25%"],
    "max_failures": "2%",
    "role": "admin",
    "confirm": 10,
    "vars": {
        "release": {"type": "string", "required": True, "pattern": r"\d+\.\d+", "description": "Release to install"},
        "reboot": {"type": "choice", "choices": ["never", "always"], "default": "never"},
        "pool": {"type": "string", "secret": True, "min": 12},
    },
}
ONE_STEP = [{"name": "a", "playbook": "a.yml"}]


def settings(**actions: Any) -> Settings:
    return Settings.model_validate({"actions": actions})


def test_an_action_of_the_site_becomes_a_definition() -> None:
    spec = settings(patch=PATCH).find_action("patch")
    assert [step.name for step in spec.all_steps()] == ["drain", "rollback", "patch", "health"]
    assert spec.steps[1].timeout == 45 * 60
    assert (spec.steps[2].settle, spec.steps[2].retries, spec.steps[2].delay) == (60, 5, 30)
    assert (spec.batch, spec.max_failures) == ((1, "10%", "25%"), "2%")
    assert (spec.role, spec.confirm, spec.check) == (TokenRole.ADMIN, 10, CheckUse.ALLOWED)
    assert (spec.rolls_back_batch, spec.rolls_back_failures, spec.rolls_back_stops) == (True, True, False)
    assert spec.transition
    assert spec.transition.sources == {Status.ALLOCATED}
    assert spec.transition.running is Status.MAINTENANCE
    assert (spec.transition.success, spec.transition.failure) == (None, None)
    assert spec.ended_event is EventName.ACTION_ENDED
    assert not spec.any_vars


@pytest.mark.parametrize(
    ("members", "relation"),
    [
        ({"from": ["Unallocated"], "on_success": "Allocated"}, "enters_cluster"),
        ({"from": ["Allocated", "Unallocated"], "on_success": "Decommissioned"}, "leaves_cluster"),
        ({"from": ["Allocated"], "on_success": "Unallocated"}, "leaves_cluster"),
        ({"from": ["Allocated"], "while": "same"}, "stays_in_cluster"),
        ({"from": ["Allocated", "Unallocated"]}, None),
    ],
)
def test_the_rules_that_hold_follow_from_the_statuses(members: Any, relation: str | None) -> None:
    spec = settings(x={"steps": ONE_STEP, **members}).find_action("x")
    kinds = ("enters_cluster", "stays_in_cluster", "leaves_cluster")
    assert [kind for kind in kinds if getattr(spec, kind)] == ([relation] if relation else [])


def test_built_in_actions_keep_their_lifecycle_on_other_terms() -> None:
    changed = settings(update={"role": "admin", "batch": "10%", "confirm": True, "forks": 5})
    spec = changed.find_action("update")
    assert (spec.role, spec.batch, spec.confirm, spec.forks) == (TokenRole.ADMIN, ("10%",), True, 5)
    assert (spec.steps, spec.transition) == (ACTIONS["update"].steps, ACTIONS["update"].transition)
    assert changed.find_action("commission") is ACTIONS["commission"]
    with pytest.raises(NotFound, match=r'^there is no action "ptach". Actions: commission, decommission, discover, '):
        changed.find_action("ptach")


@pytest.mark.parametrize(
    ("name", "members", "reason"),
    [
        ("Patch", {"steps": ONE_STEP}, "cannot be the name of an action"),
        ("x" * 33, {"steps": ONE_STEP}, "cannot be the name of an action"),
        ("drift", {"steps": ONE_STEP}, "cannot be the name of an action"),
        ("patch", {}, "at least one step"),
        ("patch", {"steps": [*ONE_STEP, *ONE_STEP]}, "not unique"),
        ("patch", {"steps": [{"name": "health", "playbook": "a.yml"}], "health": {"playbook": "b.yml"}}, "not unique"),
        ("patch", {"steps": [{"name": "rollback", "playbook": "a.yml"}]}, "not a name for a step"),
        ("patch", {"steps": [{"name": "a", "playbook": "../a.yml"}]}, "inside of ansible.playbook_location"),
        ("patch", {"steps": [{"name": "a", "playbook": "/a.yml"}]}, "inside of ansible.playbook_location"),
        ("patch", {"steps": ONE_STEP, "while": "same", "on_success": "Unallocated"}, "can be .same. only if"),
        ("patch", {"steps": ONE_STEP, "batch": ["0%"]}, "not between 1% and 100%"),
        ("patch", {"steps": ONE_STEP, "max_failures": "101%"}, "not between 0% and 100%"),
        ("patch", {"steps": ONE_STEP, "host_groups": ["db"]}, "not in ansible.host_groups"),
        ("patch", {"steps": ONE_STEP, "schedule": "2m"}, "Extra inputs are not permitted"),
        ("commission", {"steps": ONE_STEP}, "the lifecycle of commission is fixed: steps"),
        ("update", {"from": ["Unallocated"]}, "the lifecycle of update is fixed: from"),
        ("discover", {"role": "admin"}, "only actions on nodes"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, members: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(**{name: members})


@pytest.mark.parametrize(
    ("var", "reason"),
    [
        ({"required": True, "default": "x"}, "a required var has no default"),
        ({"secret": True, "default": "x"}, "a secret var has no default"),
        ({"default": 7}, "its default is not valid: .default. has to be a string"),
        ({"type": "choice"}, "choices belong to the type choice"),
        ({"choices": ["a"]}, "choices belong to the type choice"),
        ({"pattern": "("}, "not a regular expression"),
        ({"pattern": "x" * 501}, "at most 500"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(var: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(patch={"steps": ONE_STEP, "vars": {"v": var}})


@pytest.mark.parametrize("name", ["ansible_host", "groups", "1x", "a-b"])
def test_names_of_vars_are_those_of_host_vars(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be"):
        settings(patch={"steps": ONE_STEP, "vars": {name: {}}})


def test_a_var_that_is_secret_by_its_name_has_no_default() -> None:
    with pytest.raises(ValidationError, match=r"actions\.patch\.vars\.api_token: a secret var has no default"):
        settings(patch={"steps": ONE_STEP, "vars": {"api_token": {"default": "x"}}})


def test_secret_vars_are_secret_everywhere() -> None:
    assert settings(patch=PATCH).secret_names.hide("pool", "x")
    assert not settings().secret_names.hide("pool", "x")
