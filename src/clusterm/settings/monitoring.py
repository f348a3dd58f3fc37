"""Sections `serf` and `monitor`."""

from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from clusterm.settings.base import Section, split_address


class SerfSettings(Section):
    """The Serf agent that tells which nodes there are."""

    addr: str = Field(
        default="",
        description="RPC address of a Serf agent, `host:port`. Empty: Serf is not used.",
        examples=["127.0.0.1:7373"],
    )
    auth_key: SecretStr = Field(
        default=SecretStr(""),
        description="The agent's `rpc_auth`. Empty: it has none.",
        json_schema_extra={"writeOnly": False},  # it is answered, too, as asterisks
    )
    # An integer, for contiv's client reads no other number.
    timeout: int = Field(default=10, ge=1, le=3600, description="Seconds that the agent has to answer.")

    @field_validator("addr")
    @classmethod
    def _check_addr(cls, value: str) -> str:
        if value and split_address(value)[1] == 0:
            raise ValueError("port 0 is nobody's")
        return value


class MonitorSettings(Section):
    """How clusterm itself watches the nodes."""

    probe: bool | None = Field(
        default=None,
        description="Whether to look if each node answers at its ssh port. Default: where `serf.addr` is empty.",
    )
    interval: float = Field(default=30, gt=0, description="Seconds between two looks at a node.", allow_inf_nan=False)
    timeout: float = Field(default=3, gt=0, le=60, description="Seconds that a node has to answer.")
    misses: int = Field(default=3, ge=1, description="A node has disappeared when it did not answer so often in a row.")
    concurrency: int = Field(default=200, ge=1, le=500, description="How many nodes are looked at at once.")
