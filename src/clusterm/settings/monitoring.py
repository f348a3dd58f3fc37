"""Sections `serf` and `monitor`."""

from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from clusterm.settings.base import Section, split_address


class SerfSettings(Section):
    """The Serf agent that reports nodes."""

    addr: str = Field(
        default="",
        description="RPC address of a Serf agent, `host:port`. Empty: Serf is not used.",
        examples=["127.0.0.1:7373"],
    )
    auth_key: SecretStr = Field(
        default=SecretStr(""),
        description="The agent's `rpc_auth`. Empty: none.",
        json_schema_extra={"writeOnly": False},  # responses contain it, masked
    )
    # An integer, because contiv's client cannot parse other numbers.
    timeout: int = Field(default=10, ge=1, le=3600, description="Seconds to wait for the agent's response.")

    @field_validator("addr")
    @classmethod
    def _check_addr(cls, value: str) -> str:
        if value and split_address(value)[1] == 0:
            raise ValueError("port 0 cannot be connected to")
        return value


class MonitorSettings(Section):
    """The built-in monitor, which probes nodes."""

    probe: bool | None = Field(
        default=None,
        description="Whether to probe the ssh port of each node. Default: only if `serf.addr` is empty.",
    )
    interval: float = Field(default=30, gt=0, description="Seconds between two probes of a node.", allow_inf_nan=False)
    timeout: float = Field(default=3, gt=0, le=60, description="Seconds to wait for a node's answer.")
    misses: int = Field(default=3, ge=1, description="Failed probes in a row after which a node has disappeared.")
    concurrency: int = Field(default=200, ge=1, le=500, description="Maximum number of simultaneous probes.")
