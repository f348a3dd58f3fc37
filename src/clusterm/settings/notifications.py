"""Section `notifications`."""

from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from clusterm.enums import NotificationKind, WebhookTemplate
from clusterm.settings.base import Section, check_headers, check_http_url


class Webhook(Section):
    """A receiver of notifications."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$", description="Name of the webhook.", examples=["ops"])
    url: str = Field(description="URL to POST to.", examples=["https://hooks.example.org/clusterm"])
    events: tuple[NotificationKind, ...] = Field(
        default=(NotificationKind.JOB_FAILED, NotificationKind.NODE_DISAPPEARED),
        min_length=1,
        description="Events to send.",
        examples=[["job_ended", "node_disappeared", "node_returned"]],
    )
    template: WebhookTemplate = Field(default=WebhookTemplate.JSON, description="Format of the messages.")
    secret: SecretStr = Field(
        default=SecretStr(""), description="Key that signs each message. Empty: messages are not signed."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Additional headers of each request.",
        examples=[{"Authorization": "Bearer ..."}],
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return check_http_url(value)

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        return check_headers(value)


class NotificationSettings(Section):
    """Webhooks notified when jobs end, and when nodes disappear or return. Reloaded on SIGHUP."""

    webhooks: tuple[Webhook, ...] = Field(default=(), description="The receivers.")
    give_up_after: float = Field(
        default=3, gt=0, le=365, description="Days after which an undelivered message is dropped."
    )
    settle: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="Seconds to collect changes of nodes before a message is sent, so that nodes that disappear "
        "together share one message.",
    )

    @field_validator("webhooks")
    @classmethod
    def _check_webhooks(cls, value: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        if len({webhook.name for webhook in value}) < len(value):
            raise ValueError("two webhooks have the same name")
        return value
