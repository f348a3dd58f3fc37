"""Describe the Python client for the generated reference, from its signatures and docstrings."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from reference_markdown import one_line, table

from clusterctl import api, errors

_GROUPS: Final = (
    ("Client", api.Client),
    ("client.jobs", api.Jobs),
    ("client.nodes", api.Nodes),
    ("client.globals", api.Globals),
    ("client.config", api.Config),
    ("client.service", api.Service),
)
_OPTIONS: Final = (api.JobOptions, api.NodesOptions)
_MODULE: Final = re.compile(r"\b(?:collections\.abc|clusterctl|clusterm|datetime|typing)\.(?:\w+\.)*(?=\w)")


def client() -> Iterator[str]:
    """Describe the client, the options that methods share, and the exceptions."""
    for name, kind in _GROUPS:
        yield from ("", f"## {name}", "")
        yield from _documented(kind, name if kind is api.Client else None)
        for method, function in vars(kind).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                yield from ("", f"### {'client' if kind is api.Client else name}.{method}", "")
                yield from _documented(function, f"{'client' if kind is api.Client else name}.{method}")
    for options in _OPTIONS:
        yield from ("", f"## {options.__name__}", "", _summary(options), "")
        rows = re.findall(r'^ {4}(\w+): [^\n]+\n {4}"""(.+?)"""', inspect.getsource(options), re.MULTILINE | re.DOTALL)
        hints = get_type_hints(options)
        described = dict(rows)
        inherited = [base for base in _OPTIONS if base is not options and base.__annotations__.items() < hints.items()]
        own = {member for member in hints if not any(member in base.__annotations__ for base in inherited)}
        if inherited:
            yield from (f"Also those of [{inherited[0].__name__}](#{inherited[0].__name__.lower()}).", "")
        yield from table(
            ("argument", "type", "meaning"),
            ([f"`{member}`", _type(hints[member]), described[member]] for member in hints if member in own),
        )
    yield from ("", "## Certificates", "")
    yield from _documented(api.Certificates, "Certificates")
    yield from ("", "## Exceptions", "")
    exceptions = [each for each in vars(api).values() if inspect.isclass(each) and issubclass(each, BaseException)]
    yield from table(
        ("exception", "base", "meaning"),
        ([f"`{each.__name__}`", f"`{each.__bases__[0].__name__}`", _summary(each)] for each in _in_order(exceptions)),
    )


def _in_order(exceptions: list[type[BaseException]]) -> list[type[BaseException]]:
    """Return exceptions as `clusterctl.errors` defines them."""
    return [each for each in vars(errors).values() if each in exceptions]


def _documented(described: Callable[..., Any], call: str | None) -> Iterator[str]:
    """Describe a class or function: its call, its docstring, and its arguments as a table."""
    if call:
        yield from ("```python", _call(described, call), "```", "")
    text, *sections = re.split(r"\n\n(?=(?:Args|Attributes|Raises):\n)", inspect.getdoc(described) or "")
    for paragraph in text.split("\n\n"):
        yield from (one_line(paragraph), "")
    for section in sections:
        heading, _, body = section.partition(":\n")
        rows = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", body, re.MULTILINE)
        column = {"Args": "argument", "Attributes": "attribute", "Raises": "exception"}[heading]
        yield from table((column, "meaning"), ([f"`{name}`", meaning] for name, meaning in rows))
        yield ""


def _call(described: Callable[..., Any], call: str) -> str:
    signature = inspect.signature(described)
    parameters = list(signature.parameters.values())
    shown = [_parameter(each) for each in parameters if each.name != "self"]
    if any(each.kind is each.KEYWORD_ONLY for each in parameters):
        first = next(index for index, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY)
        shown.insert(first - (parameters[0].name == "self"), "*")
    result = "" if inspect.isclass(described) else f" -> {_type(signature.return_annotation, linked=False)}"
    line = f"{call}({', '.join(shown)}){result}"
    if len(line) <= 100:
        return line
    arguments = "".join(f"    {each},\n" for each in shown)
    return f"{call}(\n{arguments}){result}"


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}: {_type(parameter.annotation, linked=False)}"
    default = parameter.default
    if default is parameter.empty:
        shown = ""
    elif callable(default):
        shown = " = ..."
    elif isinstance(default, str):
        shown = f" = {json.dumps(default)}"
    else:
        shown = f" = {default!r}"
    return f"{parameter.name}: {_type(parameter.annotation, linked=False)}{shown}"


def _type(annotation: Any, *, linked: bool = True) -> str:
    """Return the name of a type as written in source; with `linked` as Markdown."""
    if annotation == api.JobRef:
        return "JobRef"
    text = (
        annotation.__name__ if inspect.isclass(annotation) and not hasattr(annotation, "__args__") else str(annotation)
    )
    text = _MODULE.sub("", text).replace("NoneType", "None")
    text = text.replace(_MODULE.sub("", str(api.JobRef)), "JobRef")
    return f"`{text}`" if linked else text


def _summary(kind: type) -> str:
    return one_line((inspect.getdoc(kind) or "").partition("\n\n")[0])
