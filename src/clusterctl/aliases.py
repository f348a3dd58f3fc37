"""The commands of clusterctl, loaded when they are used, and their short names, as in contiv's clusterctl."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
import typer.main
from typer.core import CompletionItem, TyperCommand, TyperGroup  # type: ignore[attr-defined]

from clusterctl.light_parameters import LightCommand, lightened


class Deferred(NamedTuple):
    """A command whose module is loaded when the command is used."""

    module: str
    """Name of the module in `clusterctl.commands`."""
    attribute: str
    """Name in the module: a function, or the `Typer` of a noun."""
    summary: str
    """The first line of its help, for the list of commands and for completion."""


class DeferredCommands(UserDict[str, Any]):
    """The commands by name; to look one up loads it."""

    def __getitem__(self, name: str) -> Any:
        """Return a command."""
        found = self.data[name]
        if isinstance(found, Deferred):
            found = self.data[name] = _load(name, found)
        return found


def _load(name: str, deferred: Deferred) -> Any:
    loaded = getattr(import_module(f"clusterctl.commands.{deferred.module}"), deferred.attribute)
    parent = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    parent.callback()(_nothing)  # makes a group of it, also with one command
    if isinstance(loaded, typer.Typer):
        parent.add_typer(loaded)
    else:
        parent.command(name)(loaded)
    command = typer.main.get_group(parent).commands[name]
    for each in (command, *getattr(command, "commands", {}).values()):
        if type(each) is TyperCommand:
            each.__class__ = LightCommand
    return command


def _nothing() -> None:
    """Do nothing."""


class _WithShortNames(TyperGroup):
    short: ClassVar[dict[str, str]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name or its short name."""
        return super().get_command(ctx, self.short.get(cmd_name, cmd_name))

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, with the option for help."""
        return lightened(super().get_params(ctx))


class Nouns(_WithShortNames):
    """The commands of clusterctl. To list them loads none of them."""

    short: ClassVar = {"n": "node", "a": "nodes", "g": "global", "j": "job", "d": "discover", "c": "config"}
    deferred: ClassVar[Mapping[str, Deferred]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = DeferredCommands(self.deferred)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- typer's signature
        """Return the names of the commands, in their order."""
        return list(self.deferred)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 -- typer's signature
        """Write the list of commands for the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in self.deferred.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete the name of a command, or of an option."""
        commands = [
            CompletionItem(name, help=each.summary)
            for name, each in self.deferred.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *super(TyperGroup, self).shell_complete(ctx, incomplete)]


class Verbs(_WithShortNames):
    """The commands of a noun."""

    short: ClassVar = {"g": "get", "s": "set", "c": "commission", "d": "decommission", "u": "update"}
