"""Parsing and describing of public keys."""

import pytest
from support.host_keys import FINGERPRINT, KEY

from clusterm.common import ssh_keys


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa " + KEY.split()[1], "ssh-ed25519 é"])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        ssh_keys.parse(text)


def test_public_keys_are_described_as_ssh_keygen_does() -> None:
    assert ssh_keys.parse(f"host.example {KEY} root@host") == KEY
    assert f"{ssh_keys.kind(KEY)} {ssh_keys.fingerprint(KEY)}" == f"ED25519 {FINGERPRINT}"
    names = {"ssh-rsa": "RSA", "ecdsa-sha2-nistp256": "ECDSA", "sk-ssh-ed25519@openssh.com": "ED25519-SK"}
    assert {type_: ssh_keys.kind(f"{type_} AAAA") for type_ in names} == names
