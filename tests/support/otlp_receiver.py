"""A collector of OTLP over HTTP: a real HTTP server that decodes what it is sent, and answers as it is told to."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.http_server import serving


@dataclass
class OtlpReceiver:
    """What came, and what is answered."""

    url: str = ""
    requests: list[tuple[str, Message]] = field(default_factory=list)
    """Path and headers of each request, also of those that were not answered with 200."""
    spans: list[Span] = field(default_factory=list)
    """Those that were taken, in the order in which they came."""
    records: list[LogRecord] = field(default_factory=list)
    """Likewise."""
    batches: list[int] = field(default_factory=list)
    """Size in bytes of each request that was taken."""
    resource: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[str], tuple[int, dict[str, str]]] = lambda _: (200, {})
    """The status and the headers to answer a path with."""

    def take(self, path: str, content: bytes) -> None:
        """Keep what a request contains."""
        self.batches.append(len(content))
        if path == "/v1/traces":
            for traces in ExportTraceServiceRequest.FromString(content).resource_spans:
                self.resource = values(traces.resource.attributes)
                self.spans += [span for scope in traces.scope_spans for span in scope.spans]
        elif path == "/v1/logs":
            for logs in ExportLogsServiceRequest.FromString(content).resource_logs:
                self.records += [record for scope in logs.scope_logs for record in scope.log_records]
        else:
            raise AssertionError(path)

    def roots(self) -> list[Span]:
        """Return the spans of jobs."""
        return [span for span in self.spans if "clusterm.job.action" in values(span.attributes)]

    def children(self, parent: Span) -> list[Span]:
        """Return the spans directly below a span."""
        return [span for span in self.spans if span.parent_span_id == parent.span_id]


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as a mapping."""
    return {each.key: _value(each) for each in attributes}


def _value(attribute: KeyValue) -> Any:
    kind = attribute.value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in attribute.value.array_value.values]
    return getattr(attribute.value, kind or "string_value")


@contextmanager
def collecting(port: int = 0) -> Iterator[OtlpReceiver]:
    """Run a collector on a loopback port."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                content = gzip.decompress(content)
            receiver.requests.append((self.path, self.headers))
            status, headers = receiver.answer(self.path)
            if status == 200:
                receiver.take(self.path, content)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library calls it so
            pass

    with serving(Handler, port) as url:
        receiver.url = url
        yield receiver
