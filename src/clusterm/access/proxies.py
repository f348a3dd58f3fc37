"""Reverse proxies in front of the service, and what they report about the client's request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from clusterm.settings.manager import PATH_PREFIX

_SCHEMES: Final = frozenset({"http", "https"})
_HOST: Final = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}")


@dataclass(frozen=True)
class Forwarded:
    """What a trusted proxy reports about the client's request; None where it reports nothing valid."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None
    prefix: str | None = None


class TrustedProxies:
    """The peers whose `X-Forwarded-*` headers are used.

    Args:
        peers: `manager.trusted_proxies`: IP addresses, networks, and users on the unix socket as `unix:www-data`.
    """

    def __init__(self, peers: Iterable[str]) -> None:
        self._users = frozenset(peer for peer in peers if peer.startswith("unix:"))
        self._networks = [ip_network(peer) for peer in peers if not peer.startswith("unix:")]

    def __contains__(self, peer: str) -> bool:
        return peer in self._users or any(_is_in(peer, network) for network in self._networks)

    def read(self, peer: str, headers: Mapping[str, str]) -> Forwarded:
        """Return what the peer of a connection reports, which is nothing unless it is trusted.

        Each proxy appends to these headers, so the last value is from the peer itself.

        Args:
            peer: address or user of the peer, as the connection identifies it.
            headers: headers of the request.
        """
        if peer not in self:
            return Forwarded()

        def last(name: str) -> str:
            return headers.get(name, "").rpartition(",")[2].strip()

        scheme, host, prefix = last("X-Forwarded-Proto").lower(), last("X-Forwarded-Host"), last("X-Forwarded-Prefix")
        prefix = prefix.rstrip("/")
        return Forwarded(
            client=self._client(headers.get("X-Forwarded-For", "")),
            scheme=scheme if scheme in _SCHEMES else None,
            host=host if _HOST.fullmatch(host) else None,
            prefix=prefix if prefix and PATH_PREFIX.fullmatch(prefix) else None,
        )

    def _client(self, forwarded_for: str) -> str | None:
        """Return the last address that is not a trusted proxy's: a client can forge all addresses before that one."""
        client = None
        for item in reversed(forwarded_for.split(",")):
            address = _address(item.strip())
            if address is None:
                break
            client = address
            if address not in self:
                break
        return client


def _address(text: str) -> str | None:
    """Return an IP address given with or without a port, in its usual form; None for any other text."""
    bare = re.sub(r"^\[(.*)\](?::\d+)?$|^([\d.]+):\d+$", lambda found: found[1] or found[2], text)
    try:
        return str(ip_address(bare))
    except ValueError:
        return None


def _is_in(peer: str, network: IPv4Network | IPv6Network) -> bool:
    address = _address(peer)
    return address is not None and ip_address(address) in network
