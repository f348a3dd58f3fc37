"""Name lookups of an event loop."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from clusterm.common.name_lookup import NameLookupLoop


def look_up(host: str | bytes, **options: Any) -> list[Any]:
    with asyncio.Runner(loop_factory=NameLookupLoop) as runner:
        return runner.run(runner.get_loop().getaddrinfo(host, 80, type=socket.SOCK_STREAM, **options))


@pytest.mark.parametrize("host", ["127.0.0.1", b"127.0.0.1", "localhost", b"localhost"])
def test_addresses_and_names(host: str | bytes) -> None:
    assert ("127.0.0.1", 80) in [address for *_, address in look_up(host, family=socket.AF_INET)]


def test_an_address_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    assert look_up("::1")[0][4][:2] == ("::1", 80)


def test_four_letters_are_a_name_and_no_packed_address() -> None:
    with pytest.raises(socket.gaierror):
        look_up(b"a..b")


def test_a_lookup_that_gets_no_thread_is_an_error_and_the_next_one_is_not() -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(BlockingIOError, match="no thread can be started"):
            look_up("localhost")
    assert look_up("localhost")
