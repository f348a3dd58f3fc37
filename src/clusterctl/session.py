"""One run of clusterctl: the service it talks to, and how it prints."""

from dataclasses import dataclass
from functools import cached_property

import typer

from clusterctl.client import Client
from clusterctl.show import Format, note


@dataclass
class Session:
    """What the options before the command have said, and what follows from it."""

    url: str = ""
    output: Format = Format.TABLE

    @cached_property
    def client(self) -> Client:
        """The service; connected to when it is first asked something."""
        return Client(self.url, note)

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()


def session_of(ctx: typer.Context, *, as_json: bool, output: Format | None = None) -> Session:
    """Return the session that a command runs in."""
    session = ctx.ensure_object(Session)
    session.output = output or session.output
    if as_json:
        session.output = Format.JSON
    return session
