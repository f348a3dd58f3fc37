"""Help texts, aliases and the --json option of every command."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from clusterctl.aliases import Nouns, Verbs
from clusterctl.app import app


def commands(command: Any, path: str = "clusterctl") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_every_option_is_explained(path: str) -> None:
    command = COMMANDS[path]

    assert command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_all_that_prints_an_answer_can_print_json() -> None:
    leaves = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}

    without = {
        path for path, command in leaves.items() if not any("--json" in parameter.opts for parameter in command.params)
    }

    assert len(leaves) > 15
    assert without == {"clusterctl login", "clusterctl logout"}  # which print no answer


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
