"""What Serf's members mean for nodes, and reading what an agent sends, in pieces of any size and from strangers."""

import asyncio
import contextlib
from collections.abc import Sequence

import msgpack
import pytest
from support.service import WAIT_TIMEOUT_S

from clusterm.monitoring.reports import NodeReport
from clusterm.monitoring.serf.members import Membership
from clusterm.monitoring.serf.rpc import Message, SerfFailure, SerfMember, connect


def member(name: str, label: str, addr: str, status: str = "alive") -> SerfMember:
    return SerfMember(name, status, {"NodeLabel": label, "NodeSerial": "s", "NodeAddr": addr})


def happened(event: str, *members: SerfMember) -> Message:
    return Message(f"member-{event}", list(members))


def all_are(*members: SerfMember) -> Message:
    return Message(None, list(members))


def told(news: Sequence[NodeReport]) -> list[tuple[str, str | None]]:
    return [(each.name, each.node.addr if each.node else None) for each in news]


# Members and nodes


def test_every_change_is_told_once_and_in_its_order() -> None:
    membership = Membership()
    assert told(membership.take(all_are(member("a", "n1", "10.0.0.1")))) == [("n1-s", "10.0.0.1")]
    assert membership.take(happened("join", member("a", "n1", "10.0.0.1"))) == []
    messages = [
        happened("failed", member("a", "n1", "10.0.0.1", "failed")),
        happened("reap", member("a", "n1", "10.0.0.1", "failed")),
        happened("join", member("a", "n1", "10.0.0.1")),
        happened("update", member("a", "n1", "10.0.0.2")),
        happened("leave", member("a", "n1", "10.0.0.2", "left")),
    ]
    found = [each for message in messages for each in membership.take(message)]
    assert told(found) == [("n1-s", None), ("n1-s", "10.0.0.1"), ("n1-s", "10.0.0.2"), ("n1-s", None)]


def test_another_spelling_of_tags_is_no_change() -> None:
    membership = Membership()
    (first,) = membership.take(all_are(member("a", "VMware 56", "2001:DB8:0::7")))
    assert told([first]) == [("VMware-56-s", "2001:db8::7")]
    assert membership.take(happened("update", member("a", "VMware-56", "[2001:db8::7]"))) == []
    assert membership.complaints == []
    (moved,) = membership.take(happened("update", member("a", "VMware 56", "[2001:db8::7]:2222")))
    assert moved.node is not None
    assert (moved.node.addr, moved.node.port) == ("2001:db8::7", 2222)


def test_a_node_is_there_as_long_as_one_of_its_members_is() -> None:
    membership = Membership()
    membership.take(all_are(member("old", "n1", "10.0.0.1")))
    assert membership.take(happened("join", member("new", "n1", "10.0.0.2"))) == [], "the first one counts"
    assert membership.complaints == ['"new" is n1-s at 10.0.0.2, but another member is that at 10.0.0.1']
    assert told(membership.take(happened("failed", member("old", "n1", "10.0.0.1", "failed")))) == [
        ("n1-s", "10.0.0.2")
    ]
    assert told(membership.take(happened("failed", member("new", "n1", "10.0.0.2", "failed")))) == [("n1-s", None)]


def test_a_member_that_becomes_another_node_takes_its_first_one_away() -> None:
    membership = Membership()
    membership.take(all_are(member("a", "n1", "10.0.0.1")))
    assert told(membership.take(happened("update", member("a", "n2", "10.0.0.1")))) == [
        ("n1-s", None),
        ("n2-s", "10.0.0.1"),
    ]


def test_who_vanished_unseen_is_gone_and_who_stayed_is_no_news() -> None:
    membership = Membership(nodes=["n0-s"])
    assert membership.nodes == {"n0-s"}
    both = all_are(member("a", "n1", "10.0.0.1"), member("b", "n2", "10.0.0.2"))
    assert told(membership.take(both)) == [("n0-s", None), ("n1-s", "10.0.0.1"), ("n2-s", "10.0.0.2")]
    assert membership.take(both) == []
    assert told(membership.take(all_are(member("b", "n2", "10.0.0.2")))) == [("n1-s", None)]
    assert membership.nodes == {"n2-s"}
    assert told(membership.take(both)) == [("n1-s", "10.0.0.1")]


def test_what_was_refused_is_told_again_when_all_members_come() -> None:
    membership = Membership()
    everybody = all_are(member("a", "n1", "10.0.0.1"))
    (news,) = membership.take(everybody)
    membership.take_back(news)
    assert membership.take(everybody) == [news]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({}, "NodeLabel, NodeSerial, NodeAddr"),
        ({"NodeLabel": ""}, "NodeLabel"),
        ({"NodeLabel": "\n"}, "NodeLabel: "),
        ({"NodeSerial": "\ufffd"}, "NodeSerial: "),
        ({"NodeAddr": "10.0.0.256"}, "NodeAddr: "),
        ({"NodeAddr": "n" * 100_000}, "NodeAddr: "),
    ],
)
def test_a_member_that_is_no_node_is_named_once_and_harms_nobody(tags: dict[str, str], reason: str) -> None:
    membership = Membership()
    valid = {"NodeLabel": "n1", "NodeSerial": "s", "NodeAddr": "10.0.0.1"}
    bad = SerfMember("bad\x1b", "alive", {**valid, **tags} if tags else {})
    for _ in range(2):
        assert told(membership.take(happened("join", bad, member("b", "n2", "10.0.0.2"))))[1:] == []
    (complaint,) = membership.complaints
    assert complaint.startswith('"bad\\u001b" is no node: ')
    assert reason in complaint
    assert complaint.isprintable()
    assert len(complaint) < 500
    assert membership.nodes == {"n2-s"}


# The protocol


def packed(*objects: object) -> bytes:
    return b"".join(msgpack.packb(each) for each in objects)


WELCOME = packed({"Seq": 0, "Error": ""}, {"Seq": 2, "Error": ""})
MEMBERS = packed(
    {"Seq": 3, "Error": ""},
    {"Members": [{"Name": b"a\xff", "Status": "alive", "Tags": {"NodeLabel": b"n\xff"}, "Addr": b"\x7f\0\0\1"}]},
)
EVENT = packed(
    {"Seq": 2, "Error": ""}, {"Event": "member-reap", "Members": [{"Name": "b", "Status": "", "Tags": None}]}
)


def received(sent: bytes, count: int, piece: int = 2**20) -> list[Message]:
    """Connect to an agent that sends this, and return so many messages."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(sent), piece):
            writer.write(sent[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def talk() -> list[Message]:
        served = asyncio.Event()

        async def serve_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer)
            served.set()

        async with await asyncio.start_server(serve_once, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            try:
                async with connect(host, port, "", WAIT_TIMEOUT_S) as agent:
                    agent.ask_for_members()
                    return [await agent.receive() for _ in range(count)]
            finally:
                await served.wait()

    return asyncio.run(asyncio.wait_for(talk(), WAIT_TIMEOUT_S))


@pytest.mark.parametrize("piece", [1, 7, 2**20])
def test_messages_arrive_in_pieces_and_with_any_bytes(piece: int) -> None:
    assert received(WELCOME + EVENT + MEMBERS + EVENT, 3, piece) == [
        Message("member-reap", [SerfMember("b", "", {})]),
        Message(None, [SerfMember("a\ufffd", "alive", {"NodeLabel": "n\ufffd"})]),
        Message("member-reap", [SerfMember("b", "", {})]),
    ]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Serf's RPC protocol"),
        (b"\xc1", "does not speak Serf's RPC protocol"),
        (packed([1, 2]), "does not speak Serf's RPC protocol"),
        (packed({"Seq": 99, "Error": ""}), "does not speak Serf's RPC protocol"),
        (packed({"Seq": 0, "Error": "Unsupported version"}), "refuses the command handshake: 'Unsupported version'"),
        (WELCOME + packed({"Seq": 3, "Error": ""}, {"Members": 5}), "does not speak Serf's RPC protocol"),
        (WELCOME + MEMBERS[:-3], "closed the connection"),
    ],
)
def test_a_stranger_is_told_from_an_agent(sent: bytes, reason: str) -> None:
    with pytest.raises(SerfFailure) as caught:
        received(sent, 1)
    assert reason in str(caught.value)
