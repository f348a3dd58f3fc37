"""`clusterm healthcheck`: asks the service on this machine whether it can do its work."""

import ssl
from pathlib import Path
from typing import Annotated, Final

import typer

from clusterm.cli.options import Config
from clusterm.errors import ClustermError
from clusterm.settings import ManagerSettings, load, split_address

_TIMEOUT_S: Final = 5.0


def healthcheck_command(
    config: Config = None,
    *,
    cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="CLUSTERM_CERT",
            help="A client's certificate with its key, where the service wants one. Default: the service's own.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", envvar="CLUSTERM_KEY", help="The key, if it is not in that file.", show_default=False
        ),
    ] = None,
) -> None:
    """Ask the service on this machine whether it can do its work; exit 1 if not."""
    typer.echo(check(load(config).manager, (cert, key) if cert else None))


def check(manager: ManagerSettings, certificate: tuple[Path, Path | None] | None = None) -> str:
    """Return what the service says of itself.

    Args:
        manager: says where it listens.
        certificate: a client's certificate and key, where it wants one.

    Raises:
        ClustermError: it is not well, or does not answer.
    """
    import httpx  # noqa: PLC0415 -- the other commands need no HTTP client

    url = _url(manager)
    try:
        transport = httpx.HTTPTransport(
            uds=str(manager.socket_path) if manager.socket_path else None, verify=_context(manager, certificate)
        )
        with httpx.Client(transport=transport, timeout=_TIMEOUT_S) as client:
            response = client.get(f"{url}/readyz")
        health = response.json()
        if not response.is_success:
            raise ClustermError(f"the service at {manager.addr} is not well: {health['detail']}")
        return "; ".join([health["status"], *health.get("degraded", ())])
    except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
        raise ClustermError(f"the service at {manager.addr} is not well: {error}") from None


def _url(manager: ManagerSettings) -> str:
    if manager.socket_path:
        return "http://localhost"
    host, port = split_address(manager.addr)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"{'https' if manager.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _context(manager: ManagerSettings, certificate: tuple[Path, Path | None] | None) -> ssl.SSLContext | bool:
    """Trust whoever listens there: nothing secret is sent, and the certificate is for other names than loopback's."""
    if not manager.tls_cert:
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*(certificate or (manager.tls_cert, manager.tls_key)))
    return context
