"""Reads configuration and certificate again on SIGHUP."""

import logging
from typing import Final

from clusterm.common.background_task import PeriodicTask
from clusterm.errors import StartupError
from clusterm.live_settings import LiveSettings
from clusterm.server.tls import Tls
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_RETRY_INTERVAL_S: Final = 5.0
_STOP_TIMEOUT_S: Final = 1.0


class Reloader(PeriodicTask):
    """Reads the files whenever it is woken, in a thread of its own, because the store may be locked for seconds.

    A file that is not valid changes nothing and is logged. If the store cannot be used, the reload is repeated.

    Args:
        live_settings: the settings.
        tls: the certificate; None without TLS.
    """

    def __init__(self, live_settings: LiveSettings, tls: Tls | None) -> None:
        super().__init__(
            "reloader", None, initial_delay=None, stop_timeout=_STOP_TIMEOUT_S, expected=(OSError, StoreError)
        )
        self._live_settings = live_settings
        self._tls = tls

    def run(self) -> None:
        """Read the files."""
        if self.is_stopping:
            return
        self._interval = _RETRY_INTERVAL_S
        try:
            self._live_settings.reload()
        except StartupError as error:
            log.error("the configuration is unchanged: %s", error)  # noqa: TRY400
        try:
            if self._tls:
                self._tls.reload()
                log.info("the certificate was read again")
        except StartupError as error:
            log.error("the certificate is unchanged: %s", error)  # noqa: TRY400
        self._interval = None
