"""Addresses of machines: the one form in which they are kept and compared, and their ssh ports; standard library only.

The canonical form of an IPv6 address is that of RFC 5952, without brackets, and of an IPv4-mapped one (RFC 4291,
section 2.5.5.2) the IPv4 address. A host name is in lower case, without a final dot, and in ASCII (RFC 5890).
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

SSH_PORT: Final = 22

PORT_VAR: Final = "ansible_port"
"""The variable of ansible with the ssh port of a machine. It is part of a node's place, and therefore not secret."""

_MAX_LENGTH: Final = 253
"""Characters of a host name: the 255 bytes of RFC 1035 without the first length and the root."""

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""A host name after RFC 1123, section 2.1, with underscores, which resolvers accept and container engines use."""

_ZONE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
"""The name of a network interface, or its number."""

_DIFFERENT_IN_IDNA_2008: Final = frozenset("ßς\u200c\u200d")
"""Characters that the standard library, which implements IDNA 2003, maps to another host name than resolvers do."""


class Place(NamedTuple):
    """Where a machine is reached."""

    address: str
    """In its canonical form."""
    port: int | None = None
    """Its ssh port; None if it is not given."""

    def __str__(self) -> str:
        """Return `address` or, with a port other than 22, `address:port` and for IPv6 `[address]:port`."""
        if self.port in {None, SSH_PORT}:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def canonical_address(text: str) -> str:
    """Return the canonical form of an IP address or host name.

    IPv6 addresses may be in brackets. A zone, as in `fe80::1%eth0`, is kept; only link-local addresses have one.

    Raises:
        ValueError: the text is neither, or programs disagree about which address it is, as about `010.0.0.1`.
    """
    if len(text) > _MAX_LENGTH + len("."):
        raise _no_address(text)
    if text.startswith("[") and text.endswith("]"):
        address = _canonical_ip(text[1:-1])
        if address is None or ":" not in text:
            raise _no_address(text)
        return address
    return _canonical_ip(text) or _canonical_name(text)


def parse_place(text: str) -> Place:
    """Return the place that is written as `address`, `address:port` or `[IPv6 address]:port`.

    Raises:
        ValueError: the address or the port is not valid.
    """
    address, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in address and not address.endswith("]")):
        return Place(canonical_address(text))
    if not _is_port(port):
        raise ValueError(f"{text[:80]!r} has no valid port: give a number from 1 to 65535")
    return Place(canonical_address(address), int(port))


def ssh_port(variables: Mapping[str, Any]) -> int | None:
    """Return the port that ansible connects to with these variables, or None if only ansible can tell it."""
    port = str(variables.get(PORT_VAR, SSH_PORT))
    return int(port) if _is_port(port) else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len("65535") and 0 < int(text) < 2**16


def _canonical_ip(text: str) -> str | None:
    """Return the canonical form of an IP address without brackets, or None if the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.version == 4:
        return str(address)
    if address.scope_id is not None and not (address.is_link_local and _ZONE.fullmatch(address.scope_id)):
        raise _no_address(text, "only addresses in fe80::/10 have a zone, which is a network interface")
    return str(address.ipv4_mapped or address)


def _canonical_name(text: str) -> str:
    name = text
    if not name.isascii():
        if not _DIFFERENT_IN_IDNA_2008.isdisjoint(name):
            raise _no_address(text, "write the host name in ASCII, as xn--...")
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            raise _no_address(text) from None
    name = name.lower().removesuffix(".")
    if len(name) > _MAX_LENGTH or not _HOST_NAME.fullmatch(name):
        raise _no_address(text)
    if re.fullmatch(r"[0-9.]+", name) or _is_read_as_ipv4(name):
        raise _no_address(text, "an IPv4 address has four decimal numbers up to 255, without leading zeros")
    return name


def _is_read_as_ipv4(name: str) -> bool:
    """Return whether the resolver takes the name for an IPv4 address, such as `0x7f.1`."""
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True


def _no_address(text: str, reason: str = "") -> ValueError:
    explanation = f": {reason}" if reason else ""
    return ValueError(f"{text[:80]!r} is neither an IP address nor a host name{explanation}")
