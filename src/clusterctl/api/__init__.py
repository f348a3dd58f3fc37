"""The Python client of the REST API. What this package itself exports is public; its modules are not."""

from clusterctl.api.client import Client, Service
from clusterctl.api.connection import Certificates
from clusterctl.api.jobs import Jobs
from clusterctl.api.nodes import Nodes
from clusterctl.api.options import JobRef
from clusterctl.api.request_options import JobOptions, NodesOptions
from clusterctl.api.settings import Config, Globals
from clusterctl.api.tokens import Tokens
from clusterctl.errors import (
    ClusterctlError,
    ConnectionLost,
    NoAnswer,
    NotClusterm,
    NotComplete,
    NotTrusted,
    ProblemError,
    Refused,
    ServiceDown,
    Unauthorized,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
    Usage,
)

__all__ = [
    "Certificates",
    "Client",
    "ClusterctlError",
    "Config",
    "ConnectionLost",
    "Globals",
    "JobOptions",
    "JobRef",
    "Jobs",
    "NoAnswer",
    "Nodes",
    "NodesOptions",
    "NotClusterm",
    "NotComplete",
    "NotTrusted",
    "ProblemError",
    "Refused",
    "Service",
    "ServiceDown",
    "Tokens",
    "Unauthorized",
    "Unavailable",
    "UnexpectedResponse",
    "Unreachable",
    "Usage",
]
