"""Checks of the vars of a request against the declarations of its action."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from clusterm.common.actions import ActionSpec, VarSpec
from clusterm.enums import VarType

_MAX_MATCHED: Final = 4096
"""Characters of a text that is matched with a pattern."""

_KINDS: Final[Mapping[VarType, tuple[tuple[type, ...], str]]] = {
    VarType.STRING: ((str,), "a string"),
    VarType.INTEGER: ((int,), "an integer"),
    VarType.NUMBER: ((int, float), "a number"),
    VarType.BOOLEAN: ((bool,), "true or false"),
    VarType.LIST: ((list,), "a list"),
    VarType.OBJECT: ((dict,), "an object"),
}


class VarProblem(Exception):
    """A var is unknown, missing or not valid; the text says why."""


def complete_vars(spec: ActionSpec, given: Mapping[str, Any], elsewhere: Collection[str]) -> dict[str, Any]:
    """Return the vars of a request with the defaults of its action.

    Args:
        spec: the action.
        given: the vars of the request.
        elsewhere: names of vars that globals or the configuration give.

    Raises:
        VarProblem: a var is not declared, missing or not valid.
    """
    declared = {var.name: var for var in spec.vars}
    for name in given:
        if name not in declared and not spec.any_vars:
            known = ", ".join(f"{var.name} (required)" if var.required else var.name for var in spec.vars)
            raise VarProblem(f"{spec.name} has no var {json.dumps(name[:100])}. Vars: {known or 'none'}")
    for var in spec.vars:
        if var.name in given:
            check_value(var, given[var.name])
        elif var.required and var.name not in elsewhere:
            about = f": {var.description}" if var.description else ""
            raise VarProblem(f'{spec.name} needs the var "{var.name}"{about}')
    defaults = {
        var.name: var.default
        for var in spec.vars
        if var.default is not None and var.name not in given and var.name not in elsewhere
    }
    return {**given, **defaults}


def check_value(var: VarSpec, value: Any) -> None:
    """Check a value.

    Raises:
        VarProblem: it is not one of the declaration.
    """
    name = json.dumps(var.name)
    if var.type is VarType.CHOICE:
        if not any(type(value) is type(choice) and value == choice for choice in var.choices):
            raise VarProblem(f"{name} has to be one of {', '.join(map(_plain, var.choices))}{_not(var, value)}")
        return
    kinds, described = _KINDS[var.type]
    if not isinstance(value, kinds) or (isinstance(value, bool) and var.type is not VarType.BOOLEAN):
        raise VarProblem(f"{name} has to be {described}{_not(var, value)}")
    if isinstance(value, (str, list, dict)):
        _check_size(var, value)
    elif not isinstance(value, bool):
        _check_number(var, value)
    if var.pattern and isinstance(value, str) and not re.fullmatch(var.pattern, value):
        quoted = "" if var.secret else f", which {_quoted(value)} does not"
        raise VarProblem(f"{name} has to match {var.pattern}{quoted}")


def _check_size(var: VarSpec, value: str | list[Any] | dict[str, Any]) -> None:
    what = "characters" if isinstance(value, str) else "items"
    most = _MAX_MATCHED if var.pattern and var.max is None else var.max
    if var.min is not None and len(value) < var.min:
        raise VarProblem(f"{json.dumps(var.name)} has to have at least {var.min:g} {what}")
    if most is not None and len(value) > most:
        raise VarProblem(f"{json.dumps(var.name)} has to have at most {most:g} {what}")


def _check_number(var: VarSpec, value: Any) -> None:
    if var.min is not None and value < var.min:
        raise VarProblem(f"{json.dumps(var.name)} has to be at least {var.min:g}{_not(var, value)}")
    if var.max is not None and value > var.max:
        raise VarProblem(f"{json.dumps(var.name)} has to be at most {var.max:g}{_not(var, value)}")


def parse_text(var: VarSpec, text: str) -> Any:
    """Return the value that a text on a command line means for a var; the text itself if it means none."""
    if var.type is VarType.STRING:
        return text
    if var.type is VarType.CHOICE:
        return next((choice for choice in var.choices if _plain(choice) == text), text)
    if var.type is VarType.LIST and not text.startswith("["):
        return [each.strip() for each in text.split(",") if each.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _not(var: VarSpec, value: Any) -> str:
    return "" if var.secret else f", not {_quoted(value)}"


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"


def _plain(choice: Any) -> str:
    return choice if isinstance(choice, str) else json.dumps(choice)
