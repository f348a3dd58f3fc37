"""The tree of domain errors.

ClustermError
├── RequestRefused          sent to the client with its HTTP status
│   ├── BadRequest          400
│   ├── NotFound            404
│   ├── Conflict            409
│   │   ├── ActiveJob
│   │   └── SecretsUnavailable
│   ├── JobDeleted          410
│   ├── IdempotencyKeyReused 422
│   ├── VariablesRefused    422
│   ├── Misdirected         421
│   ├── CrossOrigin         403
│   ├── AccessDenied        sent before the request's body is read
│   │   ├── Unauthorized    401
│   │   ├── Forbidden       403
│   │   └── TooManyRequests 429
│   ├── Drained             503
│   └── NotReady            503
├── StoreError              503; defined in clusterm.store.errors
│   └── StoreUnavailable    a retry may succeed
└── StartupError            printed as one line on stderr, with a non-zero exit status
    └── StoreUnusable
"""

import json
from http import HTTPStatus


class ClustermError(Exception):
    """Base class of errors that a user can act on; the text describes how."""


class RequestRefused(ClustermError):
    """The request was rejected, and nothing was changed."""

    status: HTTPStatus


class BadRequest(RequestRefused):
    """The request is invalid, independent of the cluster's state."""

    status = HTTPStatus.BAD_REQUEST


class NotFound(RequestRefused):
    """The request names something that does not exist."""

    status = HTTPStatus.NOT_FOUND


class Conflict(RequestRefused):
    """The request conflicts with the cluster's current state."""

    status = HTTPStatus.CONFLICT


class ActiveJob(Conflict):
    """Another job is running."""

    def __init__(self, job: str) -> None:
        super().__init__(f"there is already an active job, please try in sometime. Job: {job}")


class SecretsUnavailable(Conflict):
    """Secrets in the database cannot be decrypted, or new secrets cannot be encrypted."""


class JobDeleted(RequestRefused):
    """An idempotency key belongs to an earlier, identical request whose job was deleted."""

    status = HTTPStatus.GONE


class IdempotencyKeyReused(RequestRefused):
    """An idempotency key was used with a different request before."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class VariablesRefused(RequestRefused):
    """Variables would choose how ansible connects or what it executes, and are not allowed to clients."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Misdirected(RequestRefused):
    """The request names a host that is not this service."""

    status = HTTPStatus.MISDIRECTED_REQUEST


class CrossOrigin(RequestRefused):
    """A web page of another origin sent the request."""

    status = HTTPStatus.FORBIDDEN


class AccessDenied(RequestRefused):
    """The client is not permitted to send the request."""

    def __init__(self, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers
        """Headers of the response."""


class Unauthorized(AccessDenied):
    """The request has no valid token; RFC 6750 defines the header."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, error: str) -> None:
        attribute = f', error="{error}"' if error else ""
        super().__init__(detail, {"WWW-Authenticate": f'Bearer realm="clusterm"{attribute}'})


class Forbidden(AccessDenied):
    """The token's role does not permit the request."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"WWW-Authenticate": 'Bearer realm="clusterm", error="insufficient_scope"'})


class TooManyRequests(AccessDenied):
    """The token exceeds its limit of requests or of open streams."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail, {"Retry-After": str(retry_after)})


class Drained(RequestRefused):
    """The service is drained and accepts no new jobs."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 60
    """Seconds after which to retry."""


class NotReady(RequestRefused):
    """The service is not ready."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class StartupError(ClustermError):
    """The service cannot start with its configuration."""


class StoreUnusable(StartupError):
    """The database cannot be opened, or not with this version."""


def quote(text: str) -> str:
    """Quote a client's text, shortened and with control characters escaped, so that an error stays one line."""
    return json.dumps(text if len(text) <= 100 else f"{text[:99]}…", ensure_ascii=False)
