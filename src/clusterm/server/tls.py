"""Provide TLS for the server: certificate, key and client CA from files that can be reloaded."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clusterm.common.certificates import CertificateFile, read_certificates
from clusterm.common.files import read_regular
from clusterm.errors import StartupError
from clusterm.schemas import HealthCheck
from clusterm.settings import ManagerSettings

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S: Final = 10.0
"""Seconds within which a client must complete the TLS handshake; asyncio's default is 60."""

_WARNING_TIME: Final = timedelta(days=30)
"""How long before the expiry of a certificate its renewal is demanded."""


class Tls:
    """The TLS context of new connections.

    An expired certificate is served all the same, with an error in the log: without the service, jobs would wait, too,
    and the clock may be wrong.

    Args:
        manager: the settings with the paths of the files.

    Raises:
        StartupError: a file cannot be read or is invalid.
    """

    def __init__(self, manager: ManagerSettings) -> None:
        self._manager = manager
        self._current, self._certificate, self._client_ca = _load(manager)
        self.context = _context(manager)
        """Context of the listening socket. It switches each connection to the context that was loaded last: unlike
        loading files into a context in use, this can remove a client CA, and changes nothing if a file is invalid."""
        self.context.sni_callback = self._switch_context
        self._log_problem()

    @property
    def names(self) -> frozenset[str]:
        """The DNS names in the certificate."""
        return self._certificate.names

    @property
    def expires_at(self) -> datetime | None:
        """When the certificate in use expires; None if that is unknown."""
        return _first(self._certificate)

    def check(self) -> HealthCheck:
        """Return whether the certificates in use are valid for long enough. No client can connect with expired ones."""
        problem = _problem("certificate", self._file, self.expires_at)
        expired = _has_expired(self.expires_at)
        if problem and (renewed := _on_disk(self._file)) and self.expires_at and renewed > self.expires_at:
            problem += "; the file has a renewed one: send the service SIGHUP"
        if problem is None and self._manager.tls_client_ca and self._client_ca.expiries:
            problem = _problem("CA of clients", self._manager.tls_client_ca, min(self._client_ca.expiries))
        return HealthCheck(ok=problem is None, needed=expired, why=problem)

    def reload(self) -> None:
        """Reload the files for new connections; existing connections are not affected.

        Raises:
            StartupError: a file cannot be read or is invalid, or the certificate has expired unlike the one in use; the
                old files stay in use.
        """
        loaded = _load(self._manager)
        expiry = _first(loaded[1])
        if _has_expired(expiry) and not _has_expired(self.expires_at):
            raise StartupError(str(_problem("certificate", self._file, expiry)))
        self._current, self._certificate, self._client_ca = loaded
        self._log_problem()

    @property
    def _file(self) -> Path:
        assert self._manager.tls_cert is not None  # noqa: S101 -- for the type checker
        return self._manager.tls_cert

    def _log_problem(self) -> None:
        found = self.check()
        if not found.ok:
            log.log(logging.ERROR if found.needed else logging.WARNING, "%s", found.why)

    def _switch_context(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _load(manager: ManagerSettings) -> tuple[ssl.SSLContext, CertificateFile, CertificateFile]:
    """Return a context, and what the files of certificate and client CA say."""
    context = _context(manager)
    try:
        certificate, client_ca = map(read_certificates, (manager.tls_cert, manager.tls_client_ca))
    except OSError as error:
        raise StartupError(f"cannot read {error.filename}: {error.strerror}") from None
    return context, certificate, client_ca


def _first(file: CertificateFile) -> datetime | None:
    """Return when the first certificate expires. Clients may need none of the others."""
    return file.expiries[0] if file.expiries else None


def _on_disk(file: Path) -> datetime | None:
    try:
        return _first(read_certificates(file))
    except OSError:
        return None  # reported by the next reload


def _has_expired(expiry: datetime | None) -> bool:
    return expiry is not None and expiry <= datetime.now(UTC)


def _problem(subject: str, file: Path, expiry: datetime | None) -> str | None:
    """Return that something expires soon or has expired, or None."""
    if expiry is None or expiry - datetime.now(UTC) > _WARNING_TIME:
        return None
    expires = "has expired" if _has_expired(expiry) else "expires"
    return f"the {subject} in {file} {expires} at {expiry:%Y-%m-%d %H:%M} UTC"


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
