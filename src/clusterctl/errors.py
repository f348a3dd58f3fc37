"""The tree of errors, each of which clusterctl prints as one line on stderr, and their exit codes.

ClusterctlError             1
├── ProblemError            1   the response is a problem
│   ├── Refused             1   the service refused the request
│   │   └── Unavailable
│   └── Unauthorized        1   the service requires a token, or rejected the token
├── NotReady                1   the service is not ready
├── NotComplete             1   the job did not end Complete
├── NothingImported         1   hosts of an inventory were rejected, and none was imported
├── CannotWrite             1   a file cannot be written
├── UnexpectedResponse      1   the service is newer than this clusterctl
├── LogMismatch             1   a log differs from its recorded digest
├── Usage                   2   invalid command line
└── Unreachable             3   no response of the service
    ├── ServiceDown
    ├── ConnectionLost
    ├── NoAnswer
    ├── NotTrusted
    └── NotClusterm
"""


class ClusterctlError(Exception):
    """Base of all errors; the text is one line for the user, with the next step."""

    exit_code = 1


class ProblemError(ClusterctlError):
    """The response is a problem.

    Attributes:
        code: kind of the problem, for programs; empty if the service is of version 0.1.
        status: HTTP status of the response.
        detail: reason, as the service gives it.
    """

    def __init__(self, text: str = "", *, code: str = "", status: int = 0, detail: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.detail = detail or text


class Refused(ProblemError):
    """The service refused the request; the text is the service's reason."""


class Unavailable(Refused):
    """The service cannot execute the request at present (503)."""


class Unauthorized(ProblemError):
    """The service requires a token, or rejected the token (401)."""


class NotReady(ClusterctlError):
    """The service responds, but is not ready."""


class NotComplete(ClusterctlError):
    """The job did not end Complete, or did not end in time."""


class NothingImported(ClusterctlError):
    """Hosts of an inventory were rejected, and none was imported."""


class CannotWrite(ClusterctlError):
    """A file cannot be written."""


class UnexpectedResponse(ClusterctlError):
    """The response does not match the schema of this version."""


class LogMismatch(ClusterctlError):
    """A log differs from the digest recorded when its job ended, or no digest was recorded."""


class Usage(ClusterctlError):
    """The command line, an argument of the client, or a file or variable that they name is invalid."""

    exit_code = 2


class Unreachable(ClusterctlError):
    """The service cannot be reached."""

    exit_code = 3


class ServiceDown(Unreachable):
    """The service accepts no connection."""


class ConnectionLost(Unreachable):
    """The connection broke before the response arrived."""


class NoAnswer(Unreachable):
    """The service accepted the connection, and did not respond in time."""


class NotTrusted(Unreachable):
    """TLS failed: one side does not use it, or rejects the certificate of the other."""


class NotClusterm(Unreachable):
    """The response does not come from clusterm."""
