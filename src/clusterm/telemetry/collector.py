"""Sends spans and log records to a collector, with the exporters of OpenTelemetry.

The exporters retry for a few seconds and tell only whether they succeeded. The session that they use records why not.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from clusterm.common.retry_after import parse_retry_after
from clusterm.settings import TelemetrySettings

_REFUSALS: Final = frozenset({400, 413, 415, 422})
"""Response statuses that reject the data, and say nothing about the collector."""


class CollectorUnavailable(Exception):
    """The collector takes no data at present.

    Args:
        reason: why.
        retry_after: seconds after which it asks for the next attempt.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(f"the collector cannot be reached or takes no data: {reason}")
        self.retry_after = retry_after


class DataRefused(Exception):
    """Data cannot be sent, or the collector rejects it; that would be so again."""


class Collector:
    """The collector of the settings, or without these of the environment.

    Args:
        settings: the settings.
    """

    def __init__(self, settings: TelemetrySettings) -> None:
        # What they log is also in the exceptions, and they would log it for each attempt.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._session = _RecordingSession()
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        base = settings.endpoint
        self._spans = OTLPSpanExporter(base and f"{base}/v1/traces", headers=headers, session=self._session)
        self._logs = OTLPLogExporter(base and f"{base}/v1/logs", headers=headers, session=self._session)

    def send(self, batch: Sequence[ReadableSpan] | Sequence[ReadableLogRecord]) -> None:
        """Send a batch.

        Raises:
            CollectorUnavailable: it was not taken, and may be taken later.
            DataRefused: it will not be taken.
        """
        self._session.reset()
        spans = [item for item in batch if isinstance(item, ReadableSpan)]
        logs = [item for item in batch if isinstance(item, ReadableLogRecord)]
        if spans:
            self._spans.export(spans)
        if logs:
            self._logs.export(logs)
        self._session.check()

    def close(self) -> None:
        """End the present attempt, and send nothing more. Any thread may call this."""
        for exporter in (self._spans, self._logs):
            exporter.shutdown()  # type: ignore[no-untyped-call]


class _RecordingSession(requests.Session):
    """Records the outcome of the last request. It follows no redirects, which would disclose the headers."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Forget the last outcome."""
        self._status: int | None = None
        self._reason = ""
        self._retry_after = 0.0

    def check(self) -> None:
        """Raise the failure of the last request; nothing if it succeeded.

        Raises:
            CollectorUnavailable: see `Collector.send`.
            DataRefused: see `Collector.send`.
        """
        if self._status is not None and 200 <= self._status < 300:
            return
        if not self._reason:
            raise DataRefused("it cannot be encoded, or is too large")
        if self._status in _REFUSALS:
            raise DataRefused(self._reason)
        raise CollectorUnavailable(self._reason, self._retry_after)

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request."""
        self.reset()
        try:
            response = super().request(*args, **{**options, "allow_redirects": False})
        except (requests.RequestException, OSError) as error:
            self._reason = _reason(error)
            raise
        self._status = response.status_code
        self._reason = f"it answered {response.status_code} {response.reason}".rstrip()
        self._retry_after = parse_retry_after(response.headers.get("Retry-After", ""))
        return response


def _reason(error: Exception) -> str:
    """Return the kind of an error: its text contains the URL, and an address that differs each time."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no connection" if isinstance(error, requests.ConnectionError) else type(error).__name__
