"""The sender of an authenticated request."""

from dataclasses import dataclass
from typing import Final

from clusterm.enums import TokenRole

_RANKS: Final = {role: rank for rank, role in enumerate(TokenRole)}


@dataclass(frozen=True)
class Principal:
    """The token that a request was authenticated with."""

    token_id: int
    name: str
    role: TokenRole

    def may(self, needed: TokenRole) -> bool:
        """Return whether the principal's role includes the needed role."""
        return _RANKS[self.role] >= _RANKS[needed]
