"""What files with certificates say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from clusterm.common.certificates import CertificateFile, read_certificates

BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_names_and_expiries(tmp_path: Path) -> None:
    expiry = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    leaf = trustme.CA().issue_cert("A.example.org", not_before=expiry - timedelta(days=20), not_after=expiry)
    file = tmp_path / "cert.pem"
    file.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
    assert read_certificates(file) == (frozenset({"a.example.org"}), (expiry,))
    file.write_bytes(leaf.cert_chain_pems[0].bytes() + BROKEN)
    assert read_certificates(file) == (frozenset({"a.example.org"}), (expiry,))


@pytest.mark.parametrize("content", [b"", b"\xff", BROKEN])
def test_a_file_without_certificates(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cert.pem"
    file.write_bytes(content)
    assert read_certificates(file) == read_certificates(None) == CertificateFile()
