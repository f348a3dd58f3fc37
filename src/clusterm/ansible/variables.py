"""Variables as data: files for ansible in which a template stays the text that it is.

ansible evaluates what looks like a template in every variable that it reads, and up to 2.18 also in names that a
playbook takes out of an object. `!unsafe` keeps it from that in all versions, but only YAML has it. So what has no
template goes as JSON, which is read much faster.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

_OPENING: Final = "{"
"""Every template begins with it: {{, {% or {#."""

_ENDLESS: Final = 2**31 - 1  # characters of a line

_ANSIBLES: Final = "__ansible_"
"""How names begin that mean something to ansible where it reads JSON, but nothing in YAML."""


class _Unsafe:
    """A value that is no template, though it looks like one."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _UnsafeText(str):
    """A text that ansible must not evaluate."""

    __slots__ = ()


def mark_unsafe(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables with those marked that `dump` has to keep from being evaluated."""
    return {name: _Unsafe(value) if _contains_template(value) else value for name, value in variables.items()}


def dump(document: Any) -> str:
    """Write a document that may have marked values in it, as JSON or YAML."""
    try:
        return json.dumps(document)
    except TypeError:  # it has
        return str(yaml.dump(document, Dumper=_Dumper, allow_unicode=True, width=_ENDLESS))


def _contains_template(value: Any) -> bool:
    if isinstance(value, str):
        return _OPENING in value
    if isinstance(value, dict):
        return any(
            _OPENING in key or key.startswith(_ANSIBLES) or _contains_template(item) for key, item in value.items()
        )
    return isinstance(value, list) and any(map(_contains_template, value))


def _tag(value: Any) -> Any:
    if isinstance(value, str):
        return _UnsafeText(value) if _OPENING in value else value
    if isinstance(value, dict):
        return {_tag(key): _tag(item) for key, item in value.items()}
    return [_tag(item) for item in value] if isinstance(value, list) else value


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- PyYAML calls it
        return True


_Dumper.add_representer(_Unsafe, lambda dumper, data: dumper.represent_data(_tag(data.value)))
_Dumper.add_representer(_UnsafeText, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))
