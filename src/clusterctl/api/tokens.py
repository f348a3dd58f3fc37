"""The client's methods for access tokens."""

from clusterctl.api.models import read
from clusterctl.api.rest import RestClient
from clusterm.schemas import Page, Token


class Tokens:
    """Access tokens: `client.tokens`. They are created on the service's host only."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    def list(self) -> list[Token]:
        """Return all tokens without their secrets, the oldest first, also expired and revoked ones."""
        return read(Page[Token], self._rest.tokens()).items

    def revoke(self, name: str) -> Token:
        """Revoke a token, and return it."""
        return read(Token, self._rest.revoke_token(name))
