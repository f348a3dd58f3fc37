"""Section `telemetry`."""

from pydantic import (
    Field,
    SecretStr,
    field_validator,
)

from clusterm.settings.base import Section, check_headers, check_http_url


class TelemetrySettings(Section):
    """Traces of jobs, exported with OpenTelemetry (OTLP over HTTP). Needs the extra `clusterm[otel]`."""

    enabled: bool | None = Field(
        default=None, description="Whether traces are exported. Default: only if `telemetry.endpoint` is set."
    )
    endpoint: str = Field(
        default="",
        description="URL of the collector, to which `/v1/traces` and `/v1/logs` are appended. Empty: as the variables "
        "`OTEL_EXPORTER_OTLP_*` of the environment say, else `http://localhost:4318`.",
        examples=["http://localhost:4318"],
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Additional headers of each request.",
        examples=[{"Authorization": "Bearer ..."}],
    )
    logs: bool = Field(default=False, description="Whether the log lines of jobs are exported, too.")
    sample_ratio: float = Field(
        default=1,
        ge=0,
        le=1,
        description="Part of the jobs that is exported. Jobs whose request has a valid `traceparent` are exported as "
        "that says.",
    )
    give_up_after: float = Field(
        default=3, gt=0, le=365, description="Days after its end after which the trace of a job is dropped."
    )

    @property
    def is_on(self) -> bool:
        """Whether traces are exported."""
        return bool(self.endpoint) if self.enabled is None else self.enabled

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        return check_http_url(value).rstrip("/") if value else value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        return check_headers(value)
