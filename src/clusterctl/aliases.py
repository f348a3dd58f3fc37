"""Short names of commands, as in contiv's clusterctl."""

from typing import Any, ClassVar

from typer.core import TyperGroup


class _WithShortNames(TyperGroup):
    short: ClassVar[dict[str, str]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name or its short name."""
        return super().get_command(ctx, self.short.get(cmd_name, cmd_name))


class Nouns(_WithShortNames):
    """The commands of clusterctl."""

    short: ClassVar = {"n": "node", "a": "nodes", "g": "global", "j": "job", "d": "discover", "c": "config"}


class Verbs(_WithShortNames):
    """The commands of a noun."""

    short: ClassVar = {"g": "get", "s": "set", "c": "commission", "d": "decommission", "u": "update"}
