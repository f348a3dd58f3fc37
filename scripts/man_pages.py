"""Write the manual pages of both commands and of the configuration, in the man macros of groff_man(7)."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import typer
import typer.core
import typer.main

import clusterctl.app
import clusterm.cli.main
from clusterm.settings import Settings, model_of, prefix_of

_SEE_ALSO: Final = {
    "clusterctl": ("clusterm(1)", "clusterm.toml(5)"),
    "clusterm": ("clusterctl(1)", "clusterm.toml(5)", "ansible-playbook(1)"),
    "clusterm.toml": ("clusterm(1)",),
}


def clusterctl_page() -> Iterator[str]:
    """Describe `clusterctl`."""
    return _command_page(clusterctl.app.app)


def clusterm_page() -> Iterator[str]:
    """Describe `clusterm`."""
    return _command_page(clusterm.cli.main.cli)


def configuration_page() -> Iterator[str]:
    """Describe the configuration file."""
    yield from _head("clusterm.toml", 5, "configuration of clusterm")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(
        "clusterm reads the file that `clusterm serve --config` names, in TOML or JSON. `clusterm init` writes one in "
        "which every setting is a comment. In the environment, the setting `user` of the section `ansible` is "
        "`CLUSTERM_ANSIBLE__USER`. The environment takes precedence over the file."
    )
    for name, field in Settings.model_fields.items():
        model = model_of(field.annotation)
        yield f".SH [{_text(prefix_of(name, field.annotation))}]"
        yield from _paragraphs(model.__doc__)
        defaults = model().model_dump(mode="json")
        for key, schema in model.model_json_schema()["properties"].items():
            meaning, depends, described = schema["description"].partition(" Default: ")
            default = described.removesuffix(".") if depends else str(defaults[key])
            yield from _item(key, f"{meaning} Default: {default}." if default not in {"None", ""} else meaning)
    yield from _foot("clusterm.toml")


def _command_page(app: typer.Typer) -> Iterator[str]:
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name=root.name)
    summary, _, rest = inspect.cleandoc(root.help).partition("\n\n")
    yield from _head(root.name, 1, " ".join(summary.split()).partition(". ")[0].rstrip("."))
    yield ".SH SYNOPSIS"
    yield rf"\fB{_text(root.name)}\fR {_text(' '.join(root.collect_usage_pieces(context)))}"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(rest)
    yield ".SH OPTIONS"
    yield from _parameters(root, context)
    yield ".SH COMMANDS"
    for command in root.commands.values():
        yield from _command(command, f"{root.name} {command.name}")
    if root.epilog:
        yield ".SH EXIT STATUS"
        yield from _paragraphs(root.epilog)
    yield from _foot(root.name)


def _command(command: Any, path: str) -> Iterator[str]:
    if command.hidden:
        return
    for subcommand in getattr(command, "commands", {}).values():
        yield from _command(subcommand, f"{path} {subcommand.name}")
    if not hasattr(command, "commands"):
        context = typer.Context(command, info_name=path)
        yield f".SS {_text(' '.join([path, *command.collect_usage_pieces(context)]))}"
        yield from _paragraphs(inspect.cleandoc(command.help))
        yield from _parameters(command, context)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            is_argument = isinstance(parameter, typer.core.TyperArgument)
            yield from _item(parameter.metavar or parameter.name if is_argument else record[0], record[1])


def _head(name: str, section: int, summary: str) -> Iterator[str]:
    yield f'.TH {name.upper()} {section} "" clusterm "clusterm manual"'
    yield ".SH NAME"
    yield rf"{_text(name)} \- {_text(summary[0].lower() + summary[1:])}"


def _foot(name: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield ", ".join(rf"\fB{_text(each[:-3])}\fR{each[-3:]}" for each in _SEE_ALSO[name])


def _item(name: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_text(name)}\fR"
    yield _marked(meaning)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ".PP"
        yield _marked(paragraph)


def _marked(text: str) -> str:
    """Return a text on one line, with what stands in backquotes in bold."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return _guarded("".join(rf"\fB{_text(part)}\fR" if odd % 2 else _text(part) for odd, part in enumerate(parts)))


def _guarded(line: str) -> str:
    """Return a line that begins with no request: a period or an apostrophe would be one."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _text(text: str) -> str:
    """Escape a text: a hyphen that can be typed is a minus, as groff_char(7) says."""
    return text.replace("\\", r"\e").replace("-", r"\-")
