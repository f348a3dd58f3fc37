"""A receiver of webhooks: a real HTTP server that keeps what it was sent, and answers as it is told to."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.http_server import serving


@dataclass(frozen=True)
class Delivery:
    """One request that came."""

    path: str
    headers: Message
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.content))


@dataclass
class Receiver:
    """What came, and what is answered."""

    url: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    taken: list[Delivery] = field(default_factory=list)
    """Those that were answered with success."""
    answer: Callable[[Delivery], int] = lambda _: 200
    """The status to answer with."""


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver on a loopback port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            delivery = Delivery(self.path, self.headers, content)
            receiver.deliveries.append(delivery)
            status = receiver.answer(delivery)
            if status == 200:
                receiver.taken.append(delivery)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library calls it so
            pass

    with serving(Handler, port) as url:
        receiver.url = f"{url}/hook"
        yield receiver
