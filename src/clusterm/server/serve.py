"""Running the service: the state directory, the database, the socket, and signals."""

import fcntl
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from clusterm.access.token_management import ensure_local_token
from clusterm.common import service_log
from clusterm.enums import Auth, LogFormat, LogLevel
from clusterm.errors import StartupError
from clusterm.live_settings import LiveSettings
from clusterm.secrets.encryption import make_key
from clusterm.server.app import create_app
from clusterm.server.http_protocol import HttpProtocol
from clusterm.server.sockets import is_private, listen, url
from clusterm.server.tls import Tls
from clusterm.settings import Settings
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

log = logging.getLogger(__name__)
_SWITCH_INTERVAL = 0.0005
"""Seconds that a busy thread may keep others from Python. sqlite3 lets go of it at each row, so that a read of thirty
rows, as of the timeline, waits up to thirty times so long where another thread takes in a storm of news."""


def serve(
    settings: Settings,
    source: str | None,
    *,
    log_format: LogFormat | None = None,
    log_level: LogLevel | None = None,
    echo_job_logs: bool = False,
    insecure: bool = False,
) -> None:
    """Run the service until it is told to stop.

    Args:
        settings: the configuration.
        source: where it came from, to read it again on SIGHUP.
        log_format: how to write the log, if not as configured.
        log_level: the least that is worth a line of it, if not as configured.
        echo_job_logs: whether what ansible writes goes to the log, too.
        insecure: whether everybody may be let in though others can reach it.

    Raises:
        StartupError: something is in the way.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL)
    service_log.configure(log_format or settings.manager.log_format, log_level or settings.manager.log_level)
    state_dir = settings.manager.state_dir
    tls = Tls(settings.manager) if settings.manager.tls_cert else None
    with (
        _state_dir_of_our_own(state_dir),
        listen(settings.manager) as listening,
        closing(Store(settings.store_url)) as store,
    ):
        if settings.manager.auth is Auth.NONE and not (insecure or is_private(listening)):
            raise StartupError(
                f'with manager.auth = "none" everybody who can reach {settings.manager.addr} could run your playbooks: '
                'set manager.auth = "token", listen on 127.0.0.1, or start with --insecure'
            )
        if came_from := migrate(store):
            log.info("the database was brought to the newest form, from %s", came_from)
        if settings.manager.auth is Auth.TOKEN:
            ensure_local_token(store, state_dir)
        if make_key(settings.key_file):
            log.info("the key of the secrets in the database is %s: back it up, but not beside them", settings.key_file)
        live_settings = LiveSettings(store, source, settings)
        app = create_app(store, live_settings, echo_job_logs=echo_job_logs)
        server = _Server(app, live_settings, tls)
        gc.collect()
        gc.freeze()  # what is there now stays: a collection need not go through all the modules each time, for 0.1 s
        address = url(listening, tls=tls is not None)
        log.info("clusterm listens on %s and keeps its state in %s", address, state_dir)
        server.run([listening])


class _Server(uvicorn.Server):
    """uvicorn, with SIGHUP to read configuration and certificate again, and followers let go at the end."""

    def __init__(self, app: Any, live_settings: LiveSettings, tls: Tls | None) -> None:
        manager = live_settings.current.manager
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(HttpProtocol, manager.client_timeout),  # type: ignore[arg-type]  # it makes such objects
                log_config=None,
                access_log=False,
                proxy_headers=False,  # anybody on this machine could say to be somebody else
                timeout_graceful_shutdown=3,
                h11_max_incomplete_event_size=manager.max_header_bytes,
                ssl_context_factory=(lambda *_: tls.context) if tls else None,
            )
        )
        self._app = app
        self._live_settings = live_settings
        self._tls = tls
        signal.signal(signal.SIGHUP, self._reload)
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn does so as well, but only when it runs
            signal.signal(number, self.handle_exit)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 -- uvicorn calls it
        """Stop, the second time at once. uvicorn's own way raises the signal again at the end, and so dies of it."""
        self._app.state.services.follower.stop()
        self.force_exit = self.should_exit
        self.should_exit = True

    def _reload(self, *_: object) -> None:
        try:
            self._live_settings.reload()
        except StartupError as error:
            log.error("the configuration stays as it is: %s", error)  # noqa: TRY400
        try:
            if self._tls:
                self._tls.reload()
                log.info("the certificate was read again")
        except StartupError as error:
            log.error("the certificate stays as it is: %s", error)  # noqa: TRY400


@contextmanager
def _state_dir_of_our_own(state_dir: Path) -> Iterator[None]:
    """Lock the state directory against a second service; at the end no longer."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(
            f"cannot use the state directory {state_dir}: {error.strerror}; set manager.state_dir to a writable one"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"another clusterm is running on the state directory {state_dir}") from None
        yield
    finally:
        os.close(lock)
