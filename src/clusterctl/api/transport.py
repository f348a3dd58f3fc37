"""HTTP to the service: sends requests, retries them, and turns what goes wrong into errors for the user."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Final
from uuid import uuid4

import httpx

from clusterctl.api.certificates import Certificates
from clusterctl.api.connection import connect, fault_of_tls
from clusterctl.api.models import Json, read, without_none
from clusterctl.api.retry import PrintNote, Retry
from clusterctl.credentials import Token, places
from clusterctl.errors import (
    ConnectionLost,
    NoAnswer,
    NotClusterm,
    NotTrusted,
    Refused,
    ServiceDown,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from clusterm import schemas
from clusterm.common.retry_after import parse_retry_after
from clusterm.common.trace_context import parse_traceparent

_DEFAULT_TIMEOUT: Final = httpx.Timeout(30, connect=10)

_RETRY_TIMEOUT_S: Final = 10.0
"""Seconds for which a request is retried after its connection broke, or after a rate limit rejected it."""

_JSON: Final = "application/json"
_JSON_LINES: Final = "application/x-ndjson"

_LOGIN_HINT: Final = "give one with --token-file or CLUSTERM_TOKEN, or store one with: clusterctl login"
_NEW_TOKEN_HINT: Final = "; on the service's host one is created with: clusterm token create"  # noqa: S105
_POSSIBLY_STARTED: Final = "; the request may have been executed, see: clusterctl job list"
_POSSIBLY_CHANGED: Final = "; the request may have been executed, see: clusterctl nodes get"


class HttpTransport:
    """Requests to one service, and JSON objects in response.

    Every method raises `Unreachable` if no response arrives, and `Refused` or `Unauthorized` if the response is an
    error. `hint` is appended to the error if the response is 404 Not Found.

    Args:
        url: base URL of the service, as `urls.parse_url` returns it.
        note: prints why a request takes long.
        certificates: for a URL that begins with https.
        timeout: how long the service may take to respond; None for the default.
        token: sent to this service only, because redirects are not followed.
        outage: seconds for which requests are repeated while the service is down, as during its restart. With 0 only
            a request whose connection broke is repeated, because that may have been the beginning of a restart.
    """

    def __init__(
        self,
        url: str,
        note: PrintNote,
        certificates: Certificates,
        timeout: httpx.Timeout | float | None,
        token: Token | None,
        outage: float,
    ) -> None:
        self._url = url
        self._outage = outage
        self._token = token
        self._note = note
        self._certificates = certificates
        self._http = connect(url, certificates, _DEFAULT_TIMEOUT if timeout is None else timeout)
        if token:
            self._http.headers["Authorization"] = f"Bearer {token.text}"

    def without_outage(self) -> HttpTransport:
        """Return a transport over the same connections that raises `ServiceDown` at once."""
        other = copy(self)
        other._outage = 0  # noqa: SLF001 -- of this class
        return other

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, *, hint: str = "", **params: str | int | Sequence[str] | None) -> Json:
        """Send a GET request; wait and repeat it if a rate limit rejects it.

        Args:
            path: of the route.
            hint: as in the class.
            params: query parameters; parameters that are None are omitted.
        """
        deadline = time.monotonic() + _RETRY_TIMEOUT_S
        while True:
            response = self._get(path, without_none(params))
            pause = _retry_after_s(response)
            if not pause or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        self._check(response, _JSON, hint=hint)
        return self._parse(response.content)

    def get_within(self, path: str, timeout: float) -> Json:
        """Send a GET request that has a timeout of its own, in seconds."""
        with self._faults():
            response = self._http.get(path, timeout=timeout)
        self._check(response, _JSON, hint="")
        return self._parse(response.content)

    def stream(
        self, path: str, *, hint: str = "", silence: float | None = None, **params: str | int | bool | None
    ) -> Iterator[Json]:
        """Send a GET request for JSON Lines, and yield the objects as they arrive.

        Args:
            path: of the route.
            hint: as in the class.
            silence: seconds without data after which `NoAnswer` is raised; None for the timeout of the class.
            params: query parameters; parameters that are None are omitted.
        """
        headers = {"accept": _JSON_LINES}
        timeout = httpx.USE_CLIENT_DEFAULT if silence is None else silence
        opened = self._http.stream("GET", path, params=without_none(params), headers=headers, timeout=timeout)
        with self._faults(), opened as response:
            if not response.is_success:
                response.read()
            self._check(response, _JSON_LINES, hint=hint)
            rest = b""
            for data in response.iter_bytes():  # httpx's iter_lines also splits at other characters than newlines
                *records, rest = (rest + data).split(b"\n")
                yield from map(self._parse, records)

    def post_with_key(self, path: str, body: Json, *, hint: str = "") -> Json:
        """Send a POST request with an idempotency key, so that a retry is not executed again.

        It belongs to the span that TRACEPARENT in the environment names, if any.
        """
        headers = {"Idempotency-Key": str(uuid4())}
        parent = os.environ.get("TRACEPARENT", "")
        if parse_traceparent([parent]):
            headers["traceparent"] = parent.strip()
        return self.post(path, body, hint=hint, headers=headers)

    def post(
        self,
        path: str,
        body: Json | None,
        *,
        hint: str = "",
        headers: dict[str, str] | None = None,
        repeatable: bool = True,
    ) -> Json:
        """Send a POST request.

        Args:
            path: of the route.
            body: of the request; None for a route without one.
            hint: as in the class.
            headers: further headers.
            repeatable: whether executing the request twice has the same effect and response as executing it once.
                Repeatable requests are sent again if the connection breaks.
        """
        retry = Retry(self._note, max(self._outage, _RETRY_TIMEOUT_S))
        broken: ConnectionLost | None = None
        failure: Unreachable
        while True:
            try:
                with self._faults(_POSSIBLY_STARTED if repeatable else _POSSIBLY_CHANGED):
                    response = self._http.post(path, json=body, headers=headers)
                break
            except ConnectionLost as error:
                if not repeatable:
                    raise
                failure = broken = error
            except ServiceDown as error:
                if broken is None and not self._outage:
                    raise
                failure = broken or error
            except Unreachable:
                if broken is None:
                    raise
                failure = broken
            retry.wait(failure)
        self._check(response, _JSON, hint=hint)
        return self._parse(response.content)

    def _get(self, path: str, params: dict[str, Any]) -> httpx.Response:
        """Send a GET request; repeat it while the service is down."""
        retry = Retry(self._note, self._outage)
        while True:
            try:
                with self._faults():
                    return self._http.get(path, params=params)
            except (ConnectionLost, ServiceDown) as error:
                if not self._outage:
                    raise
                retry.wait(error)

    @contextmanager
    def _faults(self, consequence: str = "") -> Iterator[None]:
        """Turn exceptions of httpx into `Unreachable`.

        Args:
            consequence: appended to the error if the service may have executed the request.
        """
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = "no answer" if isinstance(error, httpx.ConnectTimeout) else str(error)
            self._check_tls(error)
            raise ServiceDown(
                f"cannot reach clusterm at {self._url} ({reason}); "
                "start it with `clusterm serve`, or give its URL with --url or CLUSTERM_URL"
            ) from None
        except httpx.TimeoutException:
            raise NoAnswer(f"clusterm at {self._url} does not answer; try again{consequence}") from None
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            reason = str(error).rstrip(".") or "the connection broke"
            self._check_tls(error)
            raise ConnectionLost(
                f"{self._url} closed the connection, or is not clusterm ({reason}); "
                f"try again, or check --url and CLUSTERM_URL{consequence}"
            ) from None
        except httpx.DecodingError as error:
            raise self._not_clusterm(str(error)) from None

    def _check_tls(self, error: httpx.TransportError) -> None:
        if fault := fault_of_tls(error, self._url, self._certificates):
            raise NotTrusted(fault) from None

    def _check(self, response: httpx.Response, content_type: str, *, hint: str) -> None:
        """Raise the error that a response stands for, also if it does not come from clusterm.

        Args:
            response: the response.
            content_type: of a successful response.
            hint: appended to the error of a 404.
        """
        given = response.headers.get("content-type", "").partition(";")[0]
        if response.is_success and given == content_type:
            return
        if not response.is_error or given != "application/problem+json":
            raise self._not_clusterm(f"it answered {response.status_code} with {given or 'no content'}")
        problem = read(schemas.Problem, self._parse(response.content))
        detail = problem.detail
        members: dict[str, Any] = {"code": problem.code, "status": response.status_code, "detail": detail}
        match response.status_code:
            case httpx.codes.UNAUTHORIZED:
                raise Unauthorized(self._unauthorized(detail), **members)
            case httpx.codes.FORBIDDEN:
                raise Refused(detail + _NEW_TOKEN_HINT, **members)
            case httpx.codes.SERVICE_UNAVAILABLE:
                raise Unavailable(detail, **members)
            case httpx.codes.NOT_FOUND:
                raise Refused(detail + hint, **members)
            case _:
                raise Refused(detail, **members)

    def _unauthorized(self, detail: str) -> str:
        if self._token is None:
            return f"{self._url} requires a token ({places(self._url)}): {_LOGIN_HINT}{_NEW_TOKEN_HINT}"
        return f"{detail} (it is from {self._token.origin}); {_LOGIN_HINT}{_NEW_TOKEN_HINT}"

    def _parse(self, text: str | bytes) -> Json:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise self._not_clusterm("it answered with broken JSON") from None
        if not isinstance(answer, dict):
            raise self._not_clusterm("it answered with JSON that is not an object")
        return answer

    def _not_clusterm(self, reason: str) -> NotClusterm:
        return NotClusterm(f"{self._url} does not look like clusterm ({reason}); check --url and CLUSTERM_URL")


def _retry_after_s(response: httpx.Response) -> float:
    """Return the seconds after which to repeat a request that a rate limit rejected; 0 for any other response."""
    rejected = response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return parse_retry_after(response.headers.get("retry-after", "")) if rejected else 0.0
