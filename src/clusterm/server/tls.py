"""Provide TLS for the server: certificate, key and client CA from files that can be reloaded."""

import asyncio
import ssl
from typing import Any, Final

from cryptography import x509

from clusterm.common.files import read_regular
from clusterm.errors import StartupError
from clusterm.settings import ManagerSettings

HANDSHAKE_TIMEOUT_S: Final = 10.0
"""Seconds within which a client must complete the TLS handshake; asyncio's default is 60."""


class Tls:
    """The TLS context of new connections.

    Args:
        manager: the settings with the paths of the files.

    Attributes:
        names: the DNS names in the certificate.

    Raises:
        StartupError: a file cannot be read or is invalid.
    """

    def __init__(self, manager: ManagerSettings) -> None:
        self._manager = manager
        self._current, self.names = _context(manager), _names(manager)
        self.context = _context(manager)
        """Context of the listening socket. It switches each connection to the context that was loaded last: unlike
        loading files into a context in use, this can remove a client CA, and changes nothing if a file is invalid."""
        self.context.sni_callback = self._switch_context

    def reload(self) -> None:
        """Reload the files for new connections; existing connections are not affected.

        Raises:
            StartupError: a file cannot be read or is invalid; the old files stay in use.
        """
        self._current, self.names = _context(self._manager), _names(self._manager)

    def _switch_context(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(manager: ManagerSettings) -> ssl.SSLContext:
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        try:
            if file := getattr(manager, name):
                read_regular(file)
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


def _names(manager: ManagerSettings) -> frozenset[str]:
    """Return the DNS names in the certificate; none if only ssl can parse it."""
    assert manager.tls_cert is not None  # noqa: S101 -- for the type checker
    try:
        certificate = x509.load_pem_x509_certificate(read_regular(manager.tls_cert))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))
    except (ValueError, x509.ExtensionNotFound):
        return frozenset()


class ServerLoop(asyncio.SelectorEventLoop):
    """An event loop that limits the time of TLS handshakes, for which uvicorn has no setting.

    Args:
        handshake_timeout: seconds.
    """

    def __init__(self, handshake_timeout: float) -> None:
        super().__init__()
        self._handshake_timeout = handshake_timeout

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        """Create a server; the arguments are those of the base class."""
        if options.get("ssl"):
            options["ssl_handshake_timeout"] = self._handshake_timeout
        return await super().create_server(*arguments, **options)


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "PEM_LIB").replace("_", " ").lower()
