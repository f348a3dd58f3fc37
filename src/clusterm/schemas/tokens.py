"""Access tokens without their secrets, and the identity of a requester."""

from pydantic import Field

from clusterm.enums import TokenRole, TokenStatus
from clusterm.schemas.base import ResponseModel, Timestamp


class Me(ResponseModel):
    """The sender of a request."""

    name: str = Field(
        description="Name of the token, recorded as requester in jobs and events; without authentication the address "
        "of the client.",
        examples=["ann"],
    )
    role: TokenRole = Field(description="What the sender may do; without authentication everything.")
    expires_at: Timestamp | None = Field(description="When the token expires; null for a token without an end.")


class Token(ResponseModel):
    """A token without its secret."""

    name: str = Field(examples=["ann"])
    role: TokenRole
    status: TokenStatus
    created_at: Timestamp
    expires_at: Timestamp | None = Field(description="When it expires or has expired; null for no end.")
    revoked_at: Timestamp | None = Field(description="When it was revoked; null if it was not.")
    last_used_at: Timestamp | None = Field(description="When it was last used; up to a minute old. Null if never.")
