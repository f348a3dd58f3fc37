"""Compress responses that are complete in memory. Logs and other streams compress themselves, or not at all."""

import gzip
from typing import Final

from anyio import to_thread
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from clusterm.routes.negotiation import accepts_gzip

_SMALLEST: Final = 2048
"""Bytes from which it saves more than it costs."""

_SMALL: Final = 64 * 1024
"""Bytes that compress faster than a thread is scheduled."""

_LEVEL: Final = 1  # the fastest one


async def compress(request: Request, response: Response) -> Response:
    """Compress a response, unless it is small, a stream or compressed, or the client does not accept gzip."""
    if isinstance(response, StreamingResponse) or len(response.body) < _SMALLEST:
        return response
    response.headers.add_vary_header("Accept-Encoding")
    if "Content-Encoding" in response.headers or not accepts_gzip(request.headers.get("Accept-Encoding", "")):
        return response
    body = bytes(response.body)
    packed = _pack(body) if len(body) < _SMALL else await to_thread.run_sync(_pack, body)
    response.body = packed
    response.headers["Content-Length"] = str(len(packed))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
