"""The Python client of the REST API. What this package itself exports is public; its modules are not."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    from clusterctl.api.certificates import Certificates
    from clusterctl.api.client import Client, Service
    from clusterctl.api.jobs import Jobs
    from clusterctl.api.nodes import Nodes
    from clusterctl.api.options import JobRef
    from clusterctl.api.request_options import JobOptions, NodesOptions
    from clusterctl.api.settings import Config, Globals
    from clusterctl.api.tokens import Tokens

_MODULES: Final = {
    "Client": "client",
    "Service": "client",
    "Certificates": "certificates",
    "Jobs": "jobs",
    "Nodes": "nodes",
    "JobRef": "options",
    "JobOptions": "request_options",
    "NodesOptions": "request_options",
    "Config": "settings",
    "Globals": "settings",
    "Tokens": "tokens",
}
"""Modules of the names that are loaded when they are used: clusterctl itself uses few of them."""

if not TYPE_CHECKING:  # else every name would seem to exist

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


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
