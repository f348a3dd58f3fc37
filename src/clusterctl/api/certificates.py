"""Files with certificates, which the command line or a program names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificates:
    """Files with certificates in PEM.

    Attributes:
        cacert: CA certificates; None for the CAs of the system.
        cert: the client certificate.
        key: private key of `cert`; None if it is in the same file.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
