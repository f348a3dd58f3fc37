"""Switches the export of telemetry on or off. This module works without the extra `clusterm[otel]`."""

import logging
import os

from clusterm.common.background_task import BackgroundTask
from clusterm.errors import StartupError
from clusterm.settings import TelemetrySettings
from clusterm.store import telemetry
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)


def check_installed(settings: TelemetrySettings) -> None:
    """Check that OpenTelemetry is installed if the settings need it.

    Raises:
        StartupError: it is not.
    """
    if not _is_on(settings):
        return
    try:
        import clusterm.telemetry.exporter  # noqa: F401, PLC0415 -- it needs the extra
    except ModuleNotFoundError:
        raise StartupError(
            "telemetry is on in the configuration, but OpenTelemetry is not installed: pip install 'clusterm[otel]'"
        ) from None


def make_exporter(store: Store, settings: TelemetrySettings) -> BackgroundTask | None:
    """Return the background task that exports traces; None if the settings ask for none."""
    if not _is_on(settings):
        try:
            with store.write() as session:
                telemetry.end(session)
        except StoreError as error:
            log.error("cannot record that traces are not exported: %s", error)  # noqa: TRY400
        return None

    from clusterm.telemetry.exporter import TelemetryExporter  # noqa: PLC0415 -- it needs the extra

    return TelemetryExporter(store, settings)


def _is_on(settings: TelemetrySettings) -> bool:
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return settings.is_on and not disabled
