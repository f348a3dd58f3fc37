"""Secrets at rest: what the database keeps of variables is masked, and encrypted beside that.

The key is in a file of the state directory, so that a copy of the database alone tells no secrets. The file may have
several keys, a line each: the first encrypts, all of them decrypt.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clusterm.common.files import write_private
from clusterm.common.redaction import SecretNames, holds_mask, redact, restore
from clusterm.errors import SecretsUnavailable, StartupError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class EncryptedVars(NamedTuple):
    """Variables as they are stored."""

    masked: dict[str, Any]
    """With secrets masked."""
    ciphertext: str | None
    """All of them, encrypted; None where there are no secrets."""


class VariableCipher:
    """Encrypts and decrypts.

    Args:
        key_file: where the keys are.
        names: tells what is secret.
    """

    def __init__(self, key_file: Path, names: SecretNames) -> None:
        self._key_file = key_file
        self._names = names
        self._loaded: MultiFernet | None = None

    def mask(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return variables with what is secret masked."""
        return dict(redact(values, self._names))

    def encrypt(self, values: dict[str, Any]) -> EncryptedVars:
        """Return what to store of variables.

        Raises:
            SecretsUnavailable: there is no key.
        """
        masked = self.mask(values)
        return EncryptedVars(masked, None if masked == values else self.encrypt_json(values))

    def decrypt(self, stored: EncryptedVars, whose: str) -> dict[str, Any]:
        """Return variables as they were given.

        Args:
            stored: what is stored of them.
            whose: what they belong to.

        Raises:
            SecretsUnavailable: they cannot be decrypted.
        """
        return dict(stored.masked) if stored.ciphertext is None else self.decrypt_json(stored.ciphertext, whose)

    def restore(self, given: dict[str, Any], stored: EncryptedVars, whose: str) -> dict[str, Any]:
        """Return variables with every mask replaced by what it hides in those that are stored.

        Raises:
            SecretsUnavailable: these cannot be decrypted.
        """
        return dict(restore(given, self.decrypt(stored, whose))) if holds_mask(given) else given

    def encrypt_json(self, values: dict[str, Any]) -> str:
        """Return an object encrypted.

        Raises:
            SecretsUnavailable: there is no key.
        """
        return self._keys().encrypt(json.dumps(values).encode()).decode()

    def decrypt_json(self, ciphertext: str, whose: str) -> dict[str, Any]:
        """Return what `encrypt` was given.

        Raises:
            SecretsUnavailable: the key is another one, or gone.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 -- slow to import, and most jobs have no secrets

        try:
            values: dict[str, Any] = json.loads(self._keys().decrypt(ciphertext))
        except InvalidToken:
            raise SecretsUnavailable(
                f"the secrets of {whose} cannot be decrypted: {self._key_file} is not the key that they were encrypted "
                "with. Put that key back, or give them anew"
            ) from None
        return values

    def _keys(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

        try:
            self._loaded = self._loaded or MultiFernet([Fernet(line) for line in self._key_file.read_bytes().split()])
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        except ValueError:
            problem = "holds no key"
        else:
            return self._loaded
        raise SecretsUnavailable(
            f"secrets can be neither encrypted nor decrypted: {self._key_file} {problem}. Put it back; if you have "
            "no copy, remove it and restart clusterm, which then makes a new one"
        )


def make_key(key_file: Path) -> bool:
    """Make a key unless there is one, and tell whether that was needed.

    Raises:
        StartupError: it cannot be written.
    """
    from cryptography.fernet import Fernet  # noqa: PLC0415

    if key_file.exists():
        return False
    try:
        write_private(key_file, f"{Fernet.generate_key().decode()}\n")
    except OSError as error:
        raise StartupError(f"cannot make the key {key_file}: {error.strerror}") from None
    return True
