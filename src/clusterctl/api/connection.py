"""Connections to the service over HTTP, HTTPS or a unix socket, and diagnosis of TLS failures."""

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import httpx

from clusterctl.api.certificates import Certificates
from clusterctl.api.urls import UNIX
from clusterctl.errors import Usage

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_NAMES: Final = {62, 64}
"""OpenSSL's verification errors, from X509_verify_cert_error_string(3)."""

_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
_PROBE_TIMEOUT_S: Final = 1.0


def connect(url: str, certificates: Certificates, timeout: httpx.Timeout | float) -> httpx.Client:
    """Return an HTTP client for the service at a URL; it connects at the first request.

    Raises:
        Usage: a certificate file is missing or invalid.
    """
    if url.startswith(UNIX):
        transport = httpx.HTTPTransport(uds=url.removeprefix(UNIX), verify=False)
        return httpx.Client(base_url="http://localhost", timeout=timeout, trust_env=False, transport=transport)
    # Without TLS httpx needs no certificates, and loading them would cost more than the request.
    verify = _context(certificates) if url.startswith("https:") else False
    return httpx.Client(base_url=url, timeout=timeout, trust_env=False, verify=verify)


def fault_of_tls(error: BaseException, url: str, certificates: Certificates) -> str | None:
    """Return the cause and the next step if a request failed because of TLS, else None."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"cannot trust clusterm at {url}: {_distrust(found)}"
    if found and found.reason in _NO_TLS:
        return f"clusterm at {url} speaks no TLS: use http:// in --url or CLUSTERM_URL"
    if url.startswith("http:") and _speaks_tls(url):
        return f"clusterm at {url} speaks TLS: use https:// in --url or CLUSTERM_URL"
    if url.startswith("https:") and _rejects_client(url, certificates):
        if certificates.cert:
            return f"clusterm at {url} rejects the client certificate {certificates.cert}: check that its CA issued it"
        return f"clusterm at {url} requires a client certificate: give one with --cert and --key"
    return None


def _context(certificates: Certificates) -> ssl.SSLContext:
    for option in ("cacert", "cert", "key"):
        try:
            if file := getattr(certificates, option):
                open(file, "rb").close()  # noqa: PTH123 -- ssl does not report which file is missing
        except OSError as error:
            raise Usage(f"cannot read --{option} {file}: {error.strerror}") from None
    if certificates.key and not certificates.cert:
        raise Usage("--key needs a certificate: give --cert, too")
    try:
        context = ssl.create_default_context(cafile=certificates.cacert)
    except ssl.SSLError:
        raise Usage(f"--cacert {certificates.cacert} holds no certificate in PEM") from None
    if certificates.cacert:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # accept the service's own certificate as CA, too
    if certificates.cert:
        try:
            context.load_cert_chain(certificates.cert, certificates.key)
        except ssl.SSLError as error:
            reason = (error.reason or "PEM_LIB").replace("_", " ").lower()
            raise Usage(f"--cert {certificates.cert} is no certificate with its key in PEM ({reason})") from None
    return context


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired; renew it, and send the service SIGHUP"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet; check the clocks of both machines"
    if error.verify_code in _OTHER_NAMES:
        said = error.verify_message.rstrip(".")
        return f"its certificate is for another name ({said}); use a name from the certificate in --url"
    return (
        f"its certificate is from a CA that is not known here ({error.verify_message}); "
        "give the CA's certificate with --cacert or CLUSTERM_CACERT"
    )


def _speaks_tls(url: str) -> bool:
    """Return whether a service that closed a plain HTTP connection speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only the handshake is tested
    try:
        with _reach(url) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _rejects_client(url: str, certificates: Certificates) -> bool:
    """Return whether a service closes the connection after the handshake and before a request.

    That is how it rejects a client certificate, or a missing one: most versions of asyncio send the client no reason.
    A service that has too many connections open closes a new one without a handshake.
    """
    try:
        plain = _reach(url)
    except OSError:
        return False
    is_connected = False
    try:
        with plain, _context(certificates).wrap_socket(plain, server_hostname=urlsplit(url).hostname) as connected:
            is_connected = True
            return not connected.recv(1)
    except TimeoutError:
        return False
    except (ssl.SSLEOFError, ConnectionError):
        return is_connected
    except OSError:
        return True


def _reach(url: str) -> socket.socket:
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return socket.create_connection((parts.hostname or "", parts.port or default), timeout=_PROBE_TIMEOUT_S)
