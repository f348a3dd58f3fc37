"""Write variable files for ansible in which the texts of clients are data.

ansible evaluates templates in the variables that it reads. It also evaluates text without a template as an expression
where a playbook says `when: "{{ variable }}"`, and likewise in `failed_when`, `until`, `assert` and `debug: var`; up to
2.18 also the keys of an object. A text that is marked unsafe is never evaluated, in no version.

JSON can mark values, as `{"__ansible_unsafe": "text"}`; only YAML can also mark keys, as `!unsafe`. ansible reads JSON
much faster, so YAML is written only if a key needs a mark. In YAML, a text such as "yes" or "12" is not marked, because
ansible-core 2.19 would read it as another type; such a text can do nothing when it is evaluated.
"""

import json
import re
from typing import Any, Final

import yaml

_PLAIN_KEY: Final = re.compile(r"(?!__ansible_)[\w.-]*", re.ASCII)
"""Keys that contain neither a call nor a template, and that ansible does not interpret in JSON."""

_TEXT: Final = "tag:yaml.org,2002:str"
_ENDLESS: Final = 2**31 - 1  # characters per line, so that YAML never wraps


class _UnsafeText(str):
    """A text that ansible must not evaluate."""

    __slots__ = ()


class _UnsafeKeyError(Exception):
    """A key is marked, for which JSON has no form."""


def mark_unsafe(value: Any) -> Any:
    """Return a copy of a JSON value in which texts, and keys unless they are plain names, are marked for `dump`."""
    if isinstance(value, str):
        return _UnsafeText(value)
    if isinstance(value, dict):
        return {
            key if _PLAIN_KEY.fullmatch(key) else _UnsafeText(key): mark_unsafe(item) for key, item in value.items()
        }
    return [mark_unsafe(item) for item in value] if isinstance(value, list) else value


def dump(document: Any) -> str:
    """Return a document as JSON, or as YAML if it has marked keys."""
    try:
        return json.dumps(_for_json(document), allow_nan=False)
    except _UnsafeKeyError:
        return str(yaml.dump(document, Dumper=_Dumper, allow_unicode=True, width=_ENDLESS))


def _for_json(value: Any) -> Any:
    if isinstance(value, _UnsafeText):
        return {"__ansible_unsafe": str(value)}
    if isinstance(value, dict):
        if any(isinstance(key, _UnsafeText) for key in value):
            raise _UnsafeKeyError
        return {key: _for_json(item) for key, item in value.items()}
    return [_for_json(item) for item in value] if isinstance(value, list) else value


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- PyYAML calls it
        return True

    def represent_unsafe(self, text: _UnsafeText) -> yaml.Node:
        """Return the node of a text: marked, unless it would be of another type without quotes."""
        plain = self.resolve(yaml.ScalarNode, str(text), (True, False))  # type: ignore[no-untyped-call]
        tag = "!unsafe" if plain == _TEXT else _TEXT
        return self.represent_scalar(tag, str(text), style='"')


_Dumper.add_representer(_UnsafeText, _Dumper.represent_unsafe)
