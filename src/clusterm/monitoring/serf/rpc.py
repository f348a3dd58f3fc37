"""A client for the RPC protocol of Serf agents: msgpack objects over TCP.

It follows HashiCorp's page "Serf RPC protocol" (version 1). A request is a header {Command, Seq} and a body; a response
is a header {Seq, Error} and, for some commands, a body. Whether a body follows depends on the command and on whether
there was an error, and is not in the header. The response to `stream` has no body; each event is then a further
response with the same Seq and a body.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgpack

VERSION: Final = 1

_COMMANDS: Final = ("handshake", "auth", "stream", "members")
"""Commands by their Seq. No command is sent again before its response."""

_EVENTS: Final = "member-join,member-leave,member-failed,member-update,member-reap"
_LARGEST: Final = 64 * 1024 * 1024  # bytes of one answer
_CHUNK: Final = 256 * 1024


class SerfFailure(Exception):
    """The agent cannot be used; the text gives the reason."""


@dataclass(frozen=True)
class SerfMember:
    """One member of the Serf cluster, as the agent knows it."""

    name: str
    status: str  # alive, leaving, left or failed
    tags: dict[str, str]


@dataclass(frozen=True)
class Message:
    """An event of some members, or, without `event`, the list of all members."""

    event: str | None
    members: list[SerfMember]


@asynccontextmanager
async def connect(host: str, port: int, auth_key: str, timeout: float) -> AsyncIterator["SerfClient"]:  # noqa: ASYNC109
    """Connect to an agent, authenticate and subscribe.

    Args:
        host: address of the agent.
        port: its RPC port.
        auth_key: its `rpc_auth`; empty for none.
        timeout: seconds for the connection, and again for the handshake.

    Raises:
        SerfFailure: the agent rejects the handshake, or the server is not a Serf agent.
        OSError: the agent cannot be reached.
        TimeoutError: the agent did not respond in time.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host, port, limit=_CHUNK)
    try:
        agent = SerfClient(reader, writer)
        async with asyncio.timeout(timeout):
            await agent.handshake(auth_key)
        yield agent
    finally:
        writer.transport.abort()


class SerfClient:
    """A connection to an agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unpacker = msgpack.Unpacker(raw=True, max_buffer_size=_LARGEST)  # tags are any bytes
        self._streaming = False
        self._body_of: str | None = None  # command whose response body comes next

    async def handshake(self, auth_key: str) -> None:
        """Negotiate the version, authenticate if there is a key, and subscribe to the events of members."""
        self._send("handshake", {"Version": VERSION})
        if auth_key:
            self._send("auth", {"AuthKey": auth_key})
        self._send("stream", {"Type": _EVENTS})
        while not self._streaming:
            self._take(await self._next())

    def ask_for_members(self) -> None:
        """Request the list of all members, which arrives as a message."""
        self._send("members", None)

    async def receive(self) -> Message:
        """Return the next message. Cancellation loses no data.

        Raises:
            SerfFailure: the agent closed the connection, or violated the protocol.
        """
        while True:
            if (message := self._take(await self._next())) is not None:
                return message

    def _send(self, command: str, body: dict[str, Any] | None) -> None:
        packed: bytes = msgpack.packb({"Command": command, "Seq": _COMMANDS.index(command)})
        self._writer.write(packed + (b"" if body is None else msgpack.packb(body)))

    async def _next(self) -> Any:
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                pass
            except (ValueError, msgpack.UnpackException) as error:
                raise SerfFailure("what listens there does not speak Serf's RPC protocol") from error
            data = await self._reader.read(_CHUNK)
            if not data:
                raise SerfFailure("the agent has closed the connection")
            try:
                self._unpacker.feed(data)
            except msgpack.BufferFull as error:
                raise SerfFailure(f"the agent sent an answer of more than {_LARGEST} bytes") from error

    def _take(self, received: Any) -> Message | None:
        """Process one object: a header, or the body that the header before announced."""
        try:
            if self._body_of is None:
                self._take_header(received[b"Seq"], _text(received[b"Error"]))
                return None
            command, self._body_of = self._body_of, None
            event = _text(received[b"Event"]) if command == "stream" else None
            return Message(event, [_parse_member(member) for member in received[b"Members"] or ()])
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise SerfFailure("what listens there does not speak Serf's RPC protocol") from error

    def _take_header(self, seq: int, error: str) -> None:
        command = _COMMANDS[seq]
        if error:
            hint = ": check serf.auth_key" if "uthentication" in error else ""
            raise SerfFailure(f"the agent refuses the command {command}: {error!r}{hint}")
        if command == "members" or (command == "stream" and self._streaming):
            self._body_of = command
        elif command == "stream":
            self._streaming = True


def _parse_member(member: Any) -> SerfMember:
    tags = {_text(key): _text(value) for key, value in (member[b"Tags"] or {}).items()}
    return SerfMember(_text(member[b"Name"]), _text(member[b"Status"]), tags)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
