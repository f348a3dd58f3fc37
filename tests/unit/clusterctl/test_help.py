"""Help texts of both programs; aliases and the --json option of the commands of clusterctl."""

import re
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperArgument, TyperOption
from typer.testing import CliRunner

import clusterctl.app
import clusterctl.commands
import clusterm.cli.main
from clusterctl.aliases import Nouns, Verbs
from clusterctl.commands.timeline import COLUMNS
from clusterm import schemas


def commands(command: Any, path: str = "clusterctl") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(clusterctl.app.app)))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_every_option_is_explained(path: str) -> None:
    command = COMMANDS[path]

    assert command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_the_output_format_may_be_given_after_every_command_that_has_one() -> None:
    with_json = {path for path, each in COMMANDS.items() if any("--json" in option.opts for option in each.params)}
    with_output = {path for path, each in COMMANDS.items() if any("--output" in option.opts for option in each.params)}
    assert with_output - {"clusterctl"} == with_json
    assert len(with_json) > 15


def test_all_that_prints_an_answer_can_print_json() -> None:
    leaves = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}

    without = {
        path for path, command in leaves.items() if not any("--json" in parameter.opts for parameter in command.params)
    }

    assert len(leaves) > 15
    assert without == {"clusterctl login", "clusterctl logout"}  # which print no answer


def test_the_list_of_commands_has_the_summary_and_the_place_of_each() -> None:
    root = COMMANDS["clusterctl"]
    for name, deferred in root.deferred.items():
        assert deferred.summary == root.commands[name].get_short_help_str(100)
        assert root.commands[name].name == name

    modules = {file.stem for file in Path(clusterctl.commands.__path__[0]).glob("*.py")}
    assert {deferred.module for deferred in root.deferred.values()} <= modules


def test_a_value_has_the_same_type_whether_typer_converted_it_or_not() -> None:
    for command in COMMANDS.values():
        for parameter in command.get_params(typer.Context(command)):
            if parameter.required or parameter.callback or not isinstance(parameter, TyperOption | TyperArgument):
                continue
            runtime, ctx = parameter.get_runtime_param(), typer.Context(command)
            assert parameter.process_value(ctx, None) == runtime.coerce(None, param=parameter, ctx=ctx)
            annotation = parameter.type_descriptor.annotation
            texts = ["x"] if annotation is str else list(annotation) if isinstance(annotation, EnumType) else []
            for text in texts:
                value = parameter.process_value(ctx, str(text))
                assert value == runtime.coerce(str(text), param=parameter, ctx=ctx)
                assert type(value) is annotation


def test_the_columns_of_events_are_their_members() -> None:
    assert tuple(schemas.Event.model_fields) == COLUMNS


def test_every_name_of_the_schemas_has_its_module() -> None:
    assert all(hasattr(schemas, name) for name in schemas.__all__)
    assert not hasattr(schemas, "Absent")


def test_short_names_stand_for_commands_that_exist() -> None:
    root = COMMANDS["clusterctl"]
    for short, name in Nouns.short.items():
        assert root.get_command(None, short) is root.commands[name]

    verbs = {
        name for path, command in COMMANDS.items() if path.count(" ") == 1 for name in getattr(command, "commands", [])
    }
    assert set(Verbs.short.values()) <= verbs
    for short, name in Verbs.short.items():
        for noun in ("node", "nodes", "global", "config"):
            group = COMMANDS[f"clusterctl {noun}"]
            assert group.get_command(None, short) is group.commands.get(name)


APPS = {"clusterctl": clusterctl.app.app, "clusterm": clusterm.cli.main.cli}


def groups(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        yield path
        for name, below in command.commands.items():
            yield from groups(below, f"{path} {name}")


GROUPS = [path for name, app in APPS.items() for path in groups(typer.main.get_command(app), name)]


@pytest.mark.parametrize("path", GROUPS)
def test_every_summary_fits_into_its_column(path: str) -> None:
    program, *arguments = path.split()
    shown = CliRunner().invoke(APPS[program], [*arguments, "--help"], env={"COLUMNS": "80"}).stdout
    listed = shown.partition("\nCommands:\n")[2].partition("\n\n")[0]

    rows = re.findall(r"^  (\S+)  +(.+)$", listed, re.MULTILINE)
    assert len(rows) == len(listed.splitlines()) > 1
    assert [name for name, summary in rows if not summary.endswith(".") or summary.endswith("...")] == []
