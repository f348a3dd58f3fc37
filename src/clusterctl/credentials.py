"""Where clusterctl has its token from: the command line, the environment, `clusterctl login`, or the service's host.

Each of them is for one service only: what was stored for a URL goes to that URL, and the token in the state directory
to an address of this machine.
"""

import json
import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from clusterctl.errors import CannotWrite, Usage
from clusterm.common.files import write_private
from clusterm.common.paths import TOKEN_FILE, default_state_dir

_VARIABLE: Final = "CLUSTERM_TOKEN"
MAX_TOKEN_LENGTH: Final = 4096
"""Characters that are read of what should be a token."""


@dataclass(frozen=True)
class Token:
    """A token."""

    text: str
    origin: str
    """Where it is from, as the user is told."""


def find(url: str, token_file: str | None) -> Token | None:
    """Return the token for a service.

    Args:
        url: where the service is.
        token_file: the file that the command line names.

    Raises:
        Usage: what should hold a token does not.
    """
    if token_file:
        return read(token_file)
    if text := os.environ.get(_VARIABLE, "").strip():
        return Token(_checked(text, _VARIABLE), _VARIABLE)
    if stored := _stored().get(url):
        return Token(_checked(stored, str(_file())), f"clusterctl login, in {_file()}")
    return _local() if is_here(url) else None


def read(file: str) -> Token:
    """Read a token from a file.

    Raises:
        Usage: there is none.
    """
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(MAX_TOKEN_LENGTH).decode(errors="replace").strip()
    except OSError as error:
        raise Usage(f"cannot read the token in {file}: {error.strerror}") from None
    return Token(_checked(text, file), file)


def given(text: str) -> Token:
    """Take what somebody typed or piped in for a token.

    Raises:
        Usage: it is none.
    """
    return Token(_checked(text.strip(), "what was given"), "what was given")


def store(url: str, token: Token) -> Path:
    """Keep a token for a service, where only this user can read it, and return the file.

    Raises:
        CannotWrite: there is no room, or no permission.
    """
    return _write(_stored() | {url: token.text})


def forget(url: str) -> bool:
    """Drop what is kept for a service, and tell whether there was something.

    Raises:
        CannotWrite: there is no permission.
    """
    stored = _stored()
    known = stored.pop(url, None) is not None
    if known:
        _write(stored)
    return known


def is_here(url: str) -> bool:
    """Tell whether a URL leads to this machine and nowhere else."""
    host = urlsplit(url).hostname or ""
    try:
        return url.startswith("unix:") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _local() -> Token | None:
    """Return the token that the service on this machine has made, if this user may read it."""
    state_dir = os.environ.get("CLUSTERM_MANAGER__STATE_DIR")
    try:
        return read(str((Path(state_dir).expanduser() if state_dir else default_state_dir()) / TOKEN_FILE))
    except Usage:
        return None


def _checked(text: str, origin: str) -> str:
    """Refuse what cannot be a token, before it becomes part of a request."""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Usage(f"there is no token in {origin}: it is one word, as `clusterm token create` prints it")
    return text


def _file() -> Path:
    import platformdirs  # noqa: PLC0415 -- not needed by those who say where their token is

    return platformdirs.user_config_path("clusterm") / "tokens.json"


def _stored() -> dict[str, str]:
    file = _file()
    try:
        stored = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Usage(f"cannot read the tokens in {file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or not all(isinstance(token, str) for token in stored.values()):
        raise Usage(f"{file} is damaged: remove it, and log in again with: clusterctl login")
    return stored


def _write(tokens: dict[str, str]) -> Path:
    file = _file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, json.dumps(tokens, indent=2))
    except OSError as error:
        raise CannotWrite(f"cannot keep tokens in {file}: {error.strerror}") from None
    return file
