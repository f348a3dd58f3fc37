"""Globals and configuration."""

from typing import Any

from pydantic import (
    Field,
)

from clusterm.schemas.base import ExtraVars, Request, ResponseModel


class GlobalsRequest(Request):
    """Replace the global extra vars."""

    extra_vars: ExtraVars = Field(
        default_factory=dict,
        description="All global extra vars; variables that are not listed are removed.",
        examples=[{"env": {"http_proxy": "http://proxy:8080"}}],
    )


class ConfigRequest(Request):
    """Change the configuration of the running service; only the section `ansible` can change."""

    config: dict[str, Any] | None = Field(
        default=None, description="Sections by name.", examples=[{"ansible": {"user": "vagrant"}}]
    )


class Globals(ResponseModel):
    """The global extra vars, secrets redacted."""

    extra_vars: dict[str, Any] = Field(examples=[{"env": {"http_proxy": "http://proxy:8080"}}])
