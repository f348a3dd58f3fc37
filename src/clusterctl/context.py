"""One run of clusterctl: the service it talks to, and how it prints."""

from dataclasses import dataclass
from functools import cached_property

import typer

from clusterctl import credentials
from clusterctl.api.client import Client
from clusterctl.api.connection import Certificates
from clusterctl.errors import Usage
from clusterctl.output.output import Format, note


@dataclass
class Context:
    """What the options before the command have said, and what follows from it."""

    url: str = ""
    certificates: Certificates = Certificates()  # noqa: RUF009 -- it never changes
    token_file: str | None = None
    output: Format = Format.TABLE

    @cached_property
    def client(self) -> Client:
        """The service; connected to when it is first asked something."""
        return Client(self.url, note, self.certificates, token=credentials.find(self.url, self.token_file))

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()


def context_of(ctx: typer.Context, *, as_json: bool, csv: bool = False, output: Format | None = None) -> Context:
    """Return the session that a command runs in.

    Args:
        ctx: what Typer knows of the command.
        as_json: whether `--json` stands after it.
        csv: whether it can print CSV.
        output: how to print, where the command has an option of its own for that.

    Raises:
        Usage: CSV is wanted, and it cannot.
    """
    context = ctx.ensure_object(Context)
    context.output = output or context.output
    if as_json:
        context.output = Format.JSON
    if context.output is Format.CSV and not csv:
        raise Usage(
            f"{ctx.command_path} prints no CSV, which is for events: clusterctl timeline, clusterctl node events; "
            "use -o json, jsonl or yaml here"
        )
    return context
