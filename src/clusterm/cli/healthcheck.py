"""`clusterm healthcheck`: checks that the service on this machine is ready."""

import ssl
from pathlib import Path
from typing import Annotated, Final

import typer

from clusterm.cli.options import Config
from clusterm.errors import ClustermError
from clusterm.settings import ManagerSettings, load, split_address, unix_path

_TIMEOUT_S: Final = 5.0


def healthcheck_command(
    config: Config = None,
    *,
    cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="CLUSTERM_CERT",
            help="Client certificate with its key, if the service requires one. Default: the service's own.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="CLUSTERM_KEY",
            help="Private key of --cert, if it is in another file.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check that the service is ready; exit with 1 if not."""
    typer.echo(check(load(config).manager, (cert, key) if cert else None))


def check(manager: ManagerSettings, certificate: tuple[Path, Path | None] | None = None) -> str:
    """Return the status that the service reports, and its degraded parts.

    Args:
        manager: the settings with the address of the service.
        certificate: client certificate and key; None for the service's own.

    Raises:
        ClustermError: the service is not ready, or does not answer.
    """
    import httpx  # noqa: PLC0415 -- the other commands need no HTTP client

    addr = manager.addresses[0]
    path = unix_path(addr)
    url = "http://localhost" if path else _url(addr, tls=manager.tls_cert is not None)
    try:
        transport = httpx.HTTPTransport(uds=str(path) if path else None, verify=_context(manager, certificate))
        with httpx.Client(transport=transport, timeout=_TIMEOUT_S) as client:
            response = client.get(f"{url}/readyz")
        health = response.json()
        if not response.is_success:
            raise ClustermError(f"the service at {addr} is not ready: {health['detail']}")
        return "; ".join([health["status"], *health.get("degraded", ())])
    except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
        raise ClustermError(f"the service at {addr} is not ready: {error}") from None


def _url(addr: str, *, tls: bool) -> str:
    host, port = split_address(addr)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _context(manager: ManagerSettings, certificate: tuple[Path, Path | None] | None) -> ssl.SSLContext | bool:
    """Return a context that checks no certificate: nothing secret is sent, and it is not issued for loopback."""
    if not manager.tls_cert:
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*(certificate or (manager.tls_cert, manager.tls_key)))
    return context
