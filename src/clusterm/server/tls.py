"""Provide TLS for the server: certificate, key and client CA from files that can be reloaded."""

import ssl
from typing import Any

from clusterm.errors import StartupError
from clusterm.settings import ManagerSettings


class Tls:
    """The TLS context of new connections.

    Args:
        manager: the settings with the paths of the files.

    Raises:
        StartupError: a file cannot be read or is invalid.
    """

    def __init__(self, manager: ManagerSettings) -> None:
        self._manager = manager
        self._current = _context(manager)
        self.context = _context(manager)
        """Context of the listening socket. It switches each connection to the context that was loaded last: unlike
        loading files into a context in use, this can remove a client CA, and changes nothing if a file is invalid."""
        self.context.sni_callback = self._switch_context

    def reload(self) -> None:
        """Reload the files for new connections; existing connections are not affected.

        Raises:
            StartupError: a file cannot be read or is invalid; the old files stay in use.
        """
        self._current = _context(self._manager)

    def _switch_context(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(manager: ManagerSettings) -> ssl.SSLContext:
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        try:
            if file := getattr(manager, name):
                file.read_bytes()
        except OSError as error:
            raise StartupError(f"cannot read manager.{name} {file}: {error.strerror}") from None
    cert, key = manager.tls_cert, manager.tls_key
    assert cert is not None  # noqa: S101 -- for the type checker

    def refuse_password() -> str:
        raise StartupError(
            f"the key in {key or cert} is encrypted, and the service cannot ask for a password: decrypt it"
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # a resumed session would skip the check of the client's certificate
    try:
        context.load_cert_chain(cert, key, password=refuse_password)
    except ssl.SSLError as error:
        files = f"manager.tls_cert {cert} and manager.tls_key {key}" if key else f"manager.tls_cert {cert}"
        raise StartupError(f"{files}: no certificate with its key in PEM ({_reason(error)})") from None
    if manager.tls_client_ca:
        try:
            context.load_verify_locations(manager.tls_client_ca)
        except ssl.SSLError as error:
            file = manager.tls_client_ca
            raise StartupError(f"manager.tls_client_ca {file}: no certificate in PEM ({_reason(error)})") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "PEM_LIB").replace("_", " ").lower()
