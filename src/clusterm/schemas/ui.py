"""Links to the dashboard."""

from pydantic import Field

from clusterm.schemas.base import ResponseModel, Timestamp


class UiLink(ResponseModel):
    """A link that opens the dashboard once, signed in."""

    url: str = Field(
        description="The link, by `manager.public_url` or the address of the request.",
        examples=["http://127.0.0.1:9007/ui/link/FkX8qXbD0mW8U2Ct"],
    )
    path: str = Field(description="Its path at the service.", examples=["/ui/link/FkX8qXbD0mW8U2Ct"])
    valid_until: Timestamp
