"""Traces and logs of jobs, exported with OpenTelemetry; needs the extra `clusterm[otel]`."""
