"""Names and expiry of certificates."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from clusterm.common.files import read_regular


class CertificateFile(NamedTuple):
    """What a file with certificates in PEM says. Both members are empty if only ssl can parse it."""

    names: frozenset[str] = frozenset()
    """The DNS names of the first certificate."""
    expiries: tuple[datetime, ...] = ()
    """When each certificate expires, in UTC; of the first one only if the others cannot be parsed."""


def read_certificates(file: Path | None) -> CertificateFile:
    """Read a file with certificates; None is a file without any.

    Raises:
        OSError: the file cannot be read.
    """
    if file is None:
        return CertificateFile()
    content = read_regular(file)
    try:
        certificates = _load(content)
        expiries = tuple(certificate.not_valid_after_utc for certificate in certificates)
    except ValueError:
        return CertificateFile()
    try:
        names = certificates[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return CertificateFile(expiries=expiries)
    return CertificateFile(frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName)), expiries)


def _load(content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        return [x509.load_pem_x509_certificate(content)]
