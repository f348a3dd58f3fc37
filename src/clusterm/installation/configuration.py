"""Writes a configuration file with every setting as a comment, in TOML 1.0."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clusterm.settings import Settings, model_of, prefix_of

_WIDTH: Final = 100

_HEAD: Final = """\
The configuration of clusterm. Settings in comments show their defaults. Every setting can also be given in the
environment, as CLUSTERM_ANSIBLE__USER. Sections that change at SIGHUP or over REST are marked; the others need a
restart."""


def configuration(values: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a configuration file.

    Args:
        values: settings that are not comments, by section and key.
    """
    return "\n".join([*_comment(_HEAD), *_sections(values)]) + "\n"


def _sections(values: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        model, is_named = model_of(field.annotation), prefix_of(name, field.annotation) != name
        extra: Any = field.json_schema_extra
        defaults = model().model_dump(mode="json")
        when = {"sighup": " SIGHUP applies changes.", "runtime": " SIGHUP or a request applies changes."}
        yield from ("", "", f"[{name}]")
        yield from _comment(f"{model.__doc__}{when.get(extra['reload'], '')}")
        if is_named:
            keys = ", ".join(model.model_json_schema()["properties"])
            yield from _comment(f"Each is a section [{prefix_of(name, field.annotation)}] with these keys: {keys}.")
            continue
        for key, schema in model.model_json_schema()["properties"].items():
            yield ""
            yield from _comment(schema["description"])
            if key in values.get(name, {}):
                yield f"{key} = {_toml(values[name][key])}"
            else:
                depends = defaults[key] is None or " Default: " in schema["description"]
                yield f"# {key} = {'' if depends else _toml(defaults[key])}".rstrip()


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), _WIDTH, break_on_hyphens=False, break_long_words=False):
        yield f"# {line}"


def _toml(value: Any) -> str:
    """Return a value in TOML, whose strings, numbers, booleans and arrays look as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
