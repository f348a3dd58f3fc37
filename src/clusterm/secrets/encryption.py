"""Encryption of secrets at rest: the database has variables with masked secrets, and beside them the ciphertext.

The key is in a file of the state directory, so a copy of the database alone reveals no secrets. The file may contain
several keys, one per line: the first one encrypts, all of them decrypt.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clusterm.common.files import read_regular, write_private
from clusterm.common.redaction import SecretNames, holds_mask, redact, restore
from clusterm.errors import SecretsUnavailable, StartupError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class EncryptedVars(NamedTuple):
    """Variables in the form in which they are stored."""

    masked: dict[str, Any]
    """The variables with masked secrets."""
    ciphertext: str | None
    """All variables, encrypted; None if they contain no secrets."""


class _LoadedKeys(NamedTuple):
    file_version: tuple[int, int, int]
    """Inode, modification time and size of the file that the keys were read from."""
    fernet: "MultiFernet"


class VariableCipher:
    """Encrypts and decrypts variables. Reads the keys again when their file has changed.

    Args:
        key_file: the file with the keys.
        names: decides by its name whether a variable is secret.
    """

    def __init__(self, key_file: Path, names: SecretNames) -> None:
        self._key_file = key_file
        self._names = names
        self._loaded: _LoadedKeys | None = None

    def mask(self, values: dict[str, Any], secret_vars: Collection[str] = ()) -> dict[str, Any]:
        """Return variables with masked secrets.

        Args:
            values: the variables.
            secret_vars: variables that are secret whatever their names.
        """
        return dict(redact(values, self._names, secret_vars))

    def encrypt(self, values: dict[str, Any], secret_vars: Collection[str] = ()) -> EncryptedVars:
        """Return variables in the form in which they are stored.

        Args:
            values: the variables.
            secret_vars: variables that are secret whatever their names.

        Raises:
            SecretsUnavailable: there is no key.
        """
        masked = self.mask(values, secret_vars)
        return EncryptedVars(masked, None if masked == values else self.encrypt_json(values))

    def decrypt(self, stored: EncryptedVars, whose: str) -> dict[str, Any]:
        """Return variables with their secrets.

        Args:
            stored: the variables as they are stored.
            whose: the job, node or setting that has the variables, for the error message.

        Raises:
            SecretsUnavailable: the ciphertext cannot be decrypted.
        """
        return dict(stored.masked) if stored.ciphertext is None else self.decrypt_json(stored.ciphertext, whose)

    def restore(self, given: dict[str, Any], stored: EncryptedVars, whose: str) -> dict[str, Any]:
        """Return variables with every mask replaced by the stored secret that it hides.

        Args:
            given: variables from a client, which may contain masks.
            stored: the variables that the client has read.
            whose: the job, node or setting that has the variables, for the error message.

        Raises:
            SecretsUnavailable: there is a mask, and the ciphertext cannot be decrypted.
        """
        return dict(restore(given, self.decrypt(stored, whose))) if holds_mask(given) else given

    def encrypt_json(self, values: dict[str, Any]) -> str:
        """Return a JSON object encrypted.

        Raises:
            SecretsUnavailable: there is no key.
        """
        return self._keys().encrypt(json.dumps(values).encode()).decode()

    def decrypt_json(self, ciphertext: str, whose: str) -> dict[str, Any]:
        """Return the JSON object that `encrypt_json` has encrypted.

        Raises:
            SecretsUnavailable: the key is a different one, or missing.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 -- slow to import, and most jobs have no secrets

        try:
            values: dict[str, Any] = json.loads(self._keys().decrypt(ciphertext))
        except InvalidToken:
            raise SecretsUnavailable(
                f"the secrets of {whose} cannot be decrypted: {self._key_file} is not the key that they were encrypted "
                "with. Restore that key, or set the secrets again"
            ) from None
        return values

    def _keys(self) -> "MultiFernet":
        try:
            status = self._key_file.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._loaded is None or self._loaded.file_version != version:
                self._loaded = _LoadedKeys(version, _read_keys(self._key_file))
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        except ValueError:
            problem = "holds no key"
        else:
            return self._loaded.fernet
        raise SecretsUnavailable(
            f"secrets can be neither encrypted nor decrypted: {self._key_file} {problem}. Restore it; if you have "
            "no copy, remove it and restart clusterm, which then creates a new one"
        )


def make_key(key_file: Path) -> bool:
    """Create a key unless the file exists, and return whether it was created.

    Raises:
        StartupError: the file cannot be written.
    """
    from cryptography.fernet import Fernet  # noqa: PLC0415

    if key_file.exists():
        return False
    try:
        write_private(key_file, f"{Fernet.generate_key().decode()}\n")
    except OSError as error:
        raise StartupError(f"cannot make the key {key_file}: {error.strerror}") from None
    return True


def _read_keys(key_file: Path) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

    return MultiFernet([Fernet(line) for line in read_regular(key_file).split()])
