"""The context of one run of clusterctl: the service and the output format."""

from dataclasses import dataclass
from functools import cached_property

import typer

from clusterctl import credentials
from clusterctl.api.certificates import Certificates
from clusterctl.api.rest import RestClient
from clusterctl.errors import Usage
from clusterctl.output.output import Format, note


@dataclass
class Context:
    """The options before the command, and the client made from them."""

    url: str = ""
    certificates: Certificates = Certificates()  # noqa: RUF009 -- it is immutable
    token_file: str | None = None
    output: Format = Format.TABLE

    @cached_property
    def rest(self) -> RestClient:
        """The routes of the service, whose JSON commands print unchanged; connects at the first request."""
        return RestClient(self.url, note, self.certificates, token=credentials.find(self.url, self.token_file))

    @property
    def parting(self) -> str | None:
        """What to print if the user interrupts the command."""
        return self.rest.parting if "rest" in self.__dict__ else None

    def close(self) -> None:
        """Close the client's connections, if it has any."""
        if "rest" in self.__dict__:
            self.rest.close()


def context_of(ctx: typer.Context, *, as_json: bool, csv: bool = False, output: Format | None = None) -> Context:
    """Return the context of a command.

    Args:
        ctx: Typer's context.
        as_json: whether the command has the option `--json`.
        csv: whether the command can print CSV.
        output: value of the command's own option `--output`; None if it is not given.

    Raises:
        Usage: CSV is requested, and the command cannot print it.
    """
    context = ctx.ensure_object(Context)
    context.output = output or context.output
    if as_json:
        context.output = Format.JSON
    if context.output is Format.CSV and not csv:
        raise Usage(
            f"{ctx.command_path} cannot print CSV, only clusterctl timeline and clusterctl node events can; "
            "use -o json, jsonl or yaml"
        )
    return context
