"""The cipher of variables: how often it reads the key file, and which settings share it."""

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from clusterm.common.redaction import SecretNames
from clusterm.errors import SecretsUnavailable
from clusterm.secrets import encryption
from clusterm.secrets.encryption import VariableCipher, make_key
from clusterm.settings import Settings

VARS = {"password": "canary", "plain": 1}


def test_the_key_is_read_once_until_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file = tmp_path / "secret.key"
    assert make_key(key_file)
    read: list[Path] = []

    def reading(file: Path, read_keys: object = encryption._read_keys) -> object:
        read.append(file)
        assert callable(read_keys)
        return read_keys(file)

    monkeypatch.setattr(encryption, "_read_keys", reading)
    cipher = VariableCipher(key_file, SecretNames())
    stored = cipher.encrypt(VARS)
    assert [cipher.decrypt(stored, "job 1") for _ in range(3)] == [VARS] * 3
    assert len(read) == 1

    old = key_file.read_bytes()
    key_file.write_bytes(Fernet.generate_key())
    with pytest.raises(SecretsUnavailable, match="the secrets of job 1 cannot be decrypted"):
        cipher.decrypt(stored, "job 1")
    key_file.write_bytes(key_file.read_bytes() + b"\n" + old)
    assert cipher.decrypt(stored, "job 1") == VARS
    key_file.unlink()
    with pytest.raises(SecretsUnavailable, match="No such file"):
        cipher.decrypt(stored, "job 1")
    os.mkfifo(key_file)
    with pytest.raises(SecretsUnavailable, match="not a regular file"):
        cipher.decrypt(stored, "job 1")


def test_settings_with_other_secret_names_have_another_cipher(tmp_path: Path) -> None:
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path}})
    assert settings.cipher is settings.cipher
    assert settings.cipher.mask({"licence": "canary"}) == {"licence": "canary"}
    ansible = settings.ansible.model_copy(update={"secret_vars": ("licence",)})
    changed = settings.model_copy(update={"ansible": ansible})
    assert changed.cipher.mask({"licence": "canary"}) != {"licence": "canary"}
