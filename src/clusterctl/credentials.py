"""Finds and stores access tokens: command line, environment, `clusterctl login`, or the service's state directory.

A stored token is sent only to the URL for which it was stored, and the token in the state directory only to an address
of this machine.
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
"""Maximum number of characters that are read of a token."""


@dataclass(frozen=True)
class Token:
    """An access token."""

    text: str
    origin: str
    """Source of the token, for error messages."""


def find(url: str, token_file: str | None) -> Token | None:
    """Return the token for a service; None if there is none.

    Args:
        url: base URL of the service.
        token_file: value of `--token-file`.

    Raises:
        Usage: the first source that is set holds no valid token.
    """
    if token_file:
        return read(token_file)
    if text := os.environ.get(_VARIABLE, "").strip():
        return Token(_checked(text, _VARIABLE), _VARIABLE)
    if stored := _stored().get(url):
        return Token(_checked(stored, str(_file())), f"clusterctl login, in {_file()}")
    return _local() if is_here(url) else None


def places(url: str) -> str:
    """Return where `find` has looked for a token that it did not find, for an error message."""
    looked = [f"{_VARIABLE} is not set"]
    if file := _file():
        looked.append(f"{file} {'has none for this URL' if file.exists() else 'does not exist'}")
    if is_here(url) and (file := _local_file()):
        try:
            read(str(file))
        except Usage as error:
            looked.append(str(error))
    return "; ".join(looked)


def read(file: str) -> Token:
    """Read a token from a file.

    Raises:
        Usage: the file cannot be read, or holds no valid token.
    """
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(MAX_TOKEN_LENGTH).decode("utf-8-sig", errors="replace").strip()
    except OSError as error:
        raise Usage(f"cannot read the token in {file}: {error.strerror}") from None
    return Token(_checked(text, file), file)


def given(text: str, origin: str) -> Token:
    """Return the token that was given as a text.

    Args:
        text: the token.
        origin: source of the text, for error messages.

    Raises:
        Usage: the text is no valid token.
    """
    return Token(_checked(text.strip(), origin), origin)


def store(url: str, token: Token) -> Path:
    """Store a token for a service in a file that only this user can read, and return the file.

    Raises:
        CannotWrite: the file cannot be written.
    """
    return _write(_stored() | {url: token.text})


def forget(url: str) -> bool:
    """Delete the stored token for a service, and return whether there was one.

    Raises:
        CannotWrite: the file cannot be written.
    """
    stored = _stored()
    known = stored.pop(url, None) is not None
    if known:
        _write(stored)
    return known


def is_here(url: str) -> bool:
    """Return whether a URL can only be an address of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return url.startswith("unix:") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _local() -> Token | None:
    """Return the token that the service on this machine created, if this user may read it."""
    file = _local_file()
    try:
        return None if file is None else read(str(file))
    except Usage:
        return None


def _local_file() -> Path | None:
    """Return the file of that token; None if this user has no home directory."""
    state_dir = os.environ.get("CLUSTERM_MANAGER__STATE_DIR")
    try:
        return (Path(state_dir).expanduser() if state_dir else default_state_dir()) / TOKEN_FILE
    except RuntimeError:
        return None


def _checked(text: str, origin: str) -> str:
    """Check that a text can be a token before it becomes part of a request header."""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Usage(f"there is no token in {origin}: a token is one word, as printed by `clusterm token create`")
    return text


def _file() -> Path | None:
    """Return the file of the stored tokens; None if the user has no home directory."""
    import platformdirs  # noqa: PLC0415 -- not needed if the token is given

    try:
        return platformdirs.user_config_path("clusterm") / "tokens.json"
    except RuntimeError:
        return None


def _stored() -> dict[str, str]:
    file = _file()
    if file is None:
        return {}
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
    if file is None:
        raise CannotWrite("cannot store tokens: this user has no home directory; set HOME or XDG_CONFIG_HOME")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, json.dumps(tokens, indent=2))
    except OSError as error:
        raise CannotWrite(f"cannot store tokens in {file}: {error.strerror}") from None
    return file
