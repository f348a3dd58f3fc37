"""Write variable files for ansible in which templates stay text.

ansible evaluates templates in every variable that it reads, and up to 2.18 also in keys that a playbook reads from an
object. `!unsafe` prevents that in all versions, but needs YAML. Documents without templates are written as JSON, which
ansible reads much faster.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

_OPENING: Final = "{"
"""First character of every template: {{, {% or {#."""

_ENDLESS: Final = 2**31 - 1  # characters per line, so that YAML never wraps

_ANSIBLES: Final = "__ansible_"
"""Prefix of keys that ansible interprets in JSON, but not in YAML."""


class _Unsafe:
    """A value in which ansible must not evaluate templates."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _UnsafeText(str):
    """A text in which ansible must not evaluate templates."""

    __slots__ = ()


def mark_unsafe(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables with values that contain templates marked for `dump`."""
    return {name: _Unsafe(value) if _contains_template(value) else value for name, value in variables.items()}


def dump(document: Any) -> str:
    """Return a document as JSON, or as YAML if it contains marked values."""
    try:
        return json.dumps(document)
    except TypeError:  # the document contains marked values
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
