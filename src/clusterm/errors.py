"""The tree of domain errors.

ClustermError
├── RequestRefused          sent to the client with its code, and the code's HTTP status
│   ├── BadRequest          400
│   ├── NotFound            404
│   ├── Conflict            409
│   │   ├── ActiveJob
│   │   └── SecretsUnavailable
│   ├── JobDeleted          410
│   ├── IdempotencyKeyReused 422
│   ├── InvalidRequest      422
│   ├── VariablesRefused    422
│   ├── ActionVarRefused    422
│   ├── NotConfirmed        428
│   ├── UnknownParameter    422
│   ├── Misdirected         421
│   ├── CrossOrigin         403
│   ├── AccessDenied        sent before the request's body is read
│   │   ├── Unauthorized    401
│   │   ├── Forbidden       403
│   │   └── TooManyRequests 429
│   ├── Drained             503
│   └── EncryptionUnavailable  503
├── StoreError              503; defined in clusterm.store.errors
│   └── StoreUnavailable    a retry may succeed
└── StartupError            printed as one line on stderr, with a non-zero exit status
    └── StoreUnusable
"""

import json

from clusterm.problem_codes import ProblemCode


class ClustermError(Exception):
    """Base class of errors that a user can act on; the text describes how."""


class RequestRefused(ClustermError):
    """The request was rejected, and nothing was changed.

    Args:
        detail: the reason, and what to do.
        code: the kind of problem.
        facts: what contiv's phrase for the code names, such as `name`; see `common.contiv`.
    """

    def __init__(self, detail: str, code: ProblemCode, **facts: str) -> None:
        super().__init__(detail)
        self.code = code
        self.facts = facts

    def extended(self, text: str) -> "RequestRefused":
        """Return the same rejection with a text appended to its reason."""
        return RequestRefused(f"{self}{text}", self.code, **self.facts)


class BadRequest(RequestRefused):
    """The request is invalid, independent of the cluster's state."""


class InvalidRequest(RequestRefused):
    """A member or parameter of the request is invalid."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.INVALID_REQUEST)


class NotFound(RequestRefused):
    """The request names something that does not exist."""


class Conflict(RequestRefused):
    """The request conflicts with the cluster's current state."""


class ActiveJob(Conflict):
    """Another job is running or queued."""

    def __init__(self, job: str) -> None:
        detail = f"another job has not ended: {job}. Wait for its end, or queue this one with --queue"
        super().__init__(detail, ProblemCode.ACTIVE_JOB, job=job)


class SecretsUnavailable(Conflict):
    """Secrets in the database cannot be decrypted, or new secrets cannot be encrypted."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.SECRETS_UNAVAILABLE)


class JobDeleted(RequestRefused):
    """An idempotency key belongs to an earlier, identical request whose job was deleted."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.JOB_DELETED)


class IdempotencyKeyReused(RequestRefused):
    """An idempotency key was used with a different request before."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.IDEMPOTENCY_KEY_REUSED)


class VariablesRefused(RequestRefused):
    """Variables would choose how ansible connects or what it executes, and are not allowed to clients."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.VARIABLES_NOT_ALLOWED)


class ActionVarRefused(RequestRefused):
    """A var of a request is not one that its action declares, is missing, or is not valid."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.INVALID_ACTION_VAR)


class NotConfirmed(RequestRefused):
    """The number of nodes of the request has to be confirmed."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.CONFIRMATION_REQUIRED)


class UnknownParameter(RequestRefused):
    """The request has a query parameter that its route does not have."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.UNKNOWN_PARAMETER)


class Misdirected(RequestRefused):
    """The request names a host that is not this service."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.MISDIRECTED)


class CrossOrigin(RequestRefused):
    """A web page of another origin sent the request."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.CROSS_ORIGIN)


class AccessDenied(RequestRefused):
    """The client is not permitted to send the request."""

    def __init__(self, detail: str, code: ProblemCode, headers: dict[str, str]) -> None:
        super().__init__(detail, code)
        self.headers = headers
        """Headers of the response."""


class Unauthorized(AccessDenied):
    """The request has no valid token; RFC 6750 defines the header."""

    def __init__(self, detail: str, code: ProblemCode) -> None:
        attribute = ', error="invalid_token"' if code is ProblemCode.TOKEN_INVALID else ""
        super().__init__(detail, code, {"WWW-Authenticate": f'Bearer realm="clusterm"{attribute}'})


class Forbidden(AccessDenied):
    """The token's role does not permit the request."""

    def __init__(self, detail: str) -> None:
        challenge = 'Bearer realm="clusterm", error="insufficient_scope"'
        super().__init__(detail, ProblemCode.ROLE_INSUFFICIENT, {"WWW-Authenticate": challenge})


class TooManyRequests(AccessDenied):
    """The token exceeds its limit of requests or of open streams."""

    def __init__(self, detail: str, code: ProblemCode, retry_after: int) -> None:
        super().__init__(detail, code, {"Retry-After": str(retry_after)})


class Drained(RequestRefused):
    """The service is drained and accepts no new jobs."""

    retry_after = 60
    """Seconds after which to retry."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.DRAINED)


class EncryptionUnavailable(RequestRefused):
    """The change contains secrets, and they cannot be encrypted or decrypted at present."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, ProblemCode.ENCRYPTION_UNAVAILABLE)


class StartupError(ClustermError):
    """The service cannot start with its configuration."""


class NoThread(StartupError):
    """Python cannot start a thread.

    Args:
        what: what failed for that reason.
        error: Python's error.
    """

    def __init__(self, what: str, error: RuntimeError) -> None:
        super().__init__(f"{what}: {error}. Raise the limit of processes and threads (ulimit -u, TasksMax)")


class StoreUnusable(StartupError):
    """The database cannot be opened, or not with this version."""


def quote(text: str) -> str:
    """Quote a client's text, shortened and with control characters escaped, so that an error stays one line."""
    return json.dumps(text if len(text) <= 100 else f"{text[:99]}…", ensure_ascii=False)
