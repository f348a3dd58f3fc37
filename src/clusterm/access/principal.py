"""The sender of an authenticated request."""

from dataclasses import dataclass
from typing import Final

from clusterm.enums import TokenRole

_RANKS: Final = {role: rank for rank, role in enumerate(TokenRole)}


@dataclass(frozen=True)
class Principal:
    """Who sends a request, as far as its token tells."""

    token_id: int
    name: str
    role: TokenRole

    def may(self, needed: TokenRole) -> bool:
        """Tell whether a role is enough for what needs another one."""
        return _RANKS[self.role] >= _RANKS[needed]
