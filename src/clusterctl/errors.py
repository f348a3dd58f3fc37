"""The tree of what ends clusterctl without a result: one line on stderr and an exit code.

ClusterctlError             1
├── Refused                 1   the service said no
│   └── Unavailable
├── Unauthorized            1   the service does not know who asks
├── NotReady                1   the service cannot do its work
├── NotComplete             1   the awaited job did not end Complete
├── CannotWrite             1   a file cannot be written
├── UnexpectedResponse           1   the service is newer than this clusterctl
├── LogMismatch                 1   a log is not what was recorded of it
├── Usage                   2
└── Unreachable             3
    ├── ConnectionLost
    ├── NoAnswer
    ├── NotTrusted
    └── NotClusterm
"""


class ClusterctlError(Exception):
    """Something to tell the user in one line; its text says what to do next."""

    exit_code = 1


class Refused(ClusterctlError):
    """The service refused the request; the text is its reason."""


class Unavailable(Refused):
    """The service could do it at another time, and says so."""


class Unauthorized(ClusterctlError):
    """The service lets nobody in without a token, or not with this one."""


class NotReady(ClusterctlError):
    """The service answers, but cannot do its work."""


class NotComplete(ClusterctlError):
    """The job that was waited for did not end Complete, or not in time."""


class CannotWrite(ClusterctlError):
    """There is no room for a file, or no permission to write it."""


class UnexpectedResponse(ClusterctlError):
    """The service's answer has another shape than this version knows."""


class LogMismatch(ClusterctlError):
    """A log is not what was recorded of it when its job ended, or nothing was recorded."""


class Usage(ClusterctlError):
    """The command line makes no sense."""

    exit_code = 2


class Unreachable(ClusterctlError):
    """There is no talking to the service."""

    exit_code = 3


class ConnectionLost(Unreachable):
    """The connection broke before the answer had come."""


class NoAnswer(Unreachable):
    """The service took the request, or the connection, and then said nothing for too long."""


class NotTrusted(Unreachable):
    """Client and service do not agree on TLS, or do not take each other's certificates."""


class NotClusterm(Unreachable):
    """Something answered that is not clusterm."""
