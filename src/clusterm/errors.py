"""The tree of domain errors.

ClustermError
├── RequestRefused          answered to the client with its HTTP status
│   ├── BadRequest          400
│   ├── NotFound            404
│   ├── Conflict            409
│   │   ├── ActiveJob
│   │   └── SecretsUnavailable
│   ├── IdempotencyKeyReused           422
│   ├── AccessDenied            answered before the request is read
│   │   ├── Unauthorized    401
│   │   ├── Forbidden       403
│   │   └── TooManyRequests 429
│   ├── Drained             503
│   └── NotReady            503
├── StoreError              503; defined in clusterm.store.errors
│   └── StoreUnavailable    a retry may succeed
└── StartupError             one line on stderr and an exit status that is not 0
    └── StoreUnusable
"""

import json
from http import HTTPStatus


class ClustermError(Exception):
    """Something that went wrong and that a person can act on; its text says how."""


class RequestRefused(ClustermError):
    """The service will not do what it was asked to do, and has changed nothing."""

    status: HTTPStatus


class BadRequest(RequestRefused):
    """The request makes no sense, whatever the cluster looks like."""

    status = HTTPStatus.BAD_REQUEST


class NotFound(RequestRefused):
    """The request names something that does not exist."""

    status = HTTPStatus.NOT_FOUND


class Conflict(RequestRefused):
    """The request makes sense, but not while the cluster is as it is."""

    status = HTTPStatus.CONFLICT


class ActiveJob(Conflict):
    """Another job is running."""

    def __init__(self, job: str) -> None:
        super().__init__(f"there is already an active job, please try in sometime. Job: {job}")


class SecretsUnavailable(Conflict):
    """Secrets in the database cannot be decrypted, or new ones not be encrypted."""


class IdempotencyKeyReused(RequestRefused):
    """An idempotency key came with another request before."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class AccessDenied(RequestRefused):
    """The service does not do this for whoever asks."""

    def __init__(self, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers
        """Of the answer."""


class Unauthorized(AccessDenied):
    """There is no token that is good; RFC 6750 says what the header names it."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, error: str) -> None:
        named = f', error="{error}"' if error else ""
        super().__init__(detail, {"WWW-Authenticate": f'Bearer realm="clusterm"{named}'})


class Forbidden(AccessDenied):
    """The token's role is not enough."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"WWW-Authenticate": 'Bearer realm="clusterm", error="insufficient_scope"'})


class TooManyRequests(AccessDenied):
    """The token was used too often, or too often at once."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail, {"Retry-After": str(retry_after)})


class Drained(RequestRefused):
    """The service takes no new jobs for the time being."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 60
    """Seconds after which to ask again."""


class NotReady(RequestRefused):
    """The service cannot do its work."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class StartupError(ClustermError):
    """The service cannot run as it was told to."""


class StoreUnusable(StartupError):
    """The database cannot be opened, or not by this version."""


def quote(text: str) -> str:
    """Put what a client sent in quotes, cut and with control characters escaped, so that an error stays one line."""
    return json.dumps(text if len(text) <= 100 else f"{text[:99]}…", ensure_ascii=False)
