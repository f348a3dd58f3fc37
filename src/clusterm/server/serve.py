"""Runs the service: state directory, database, socket and signals."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import uvicorn

from clusterm.access.token_management import ensure_local_token
from clusterm.common import service_log, umask, wake_file
from clusterm.common.background_task import BackgroundTask
from clusterm.common.database_url import hide_libpq_password
from clusterm.common.log_limits import RepetitionFilter
from clusterm.common.paths import TOKEN_FILE
from clusterm.enums import Auth, LogFormat, LogLevel
from clusterm.errors import StartupError
from clusterm.live_settings import LiveSettings
from clusterm.secrets.encryption import make_key
from clusterm.server.app import create_app
from clusterm.server.connections import ConnectionLimits, LimitedListener, raise_descriptor_limit
from clusterm.server.home import ensure_home
from clusterm.server.http_protocol import HttpProtocol
from clusterm.server.service_events import record_start, record_stop
from clusterm.server.sockets import is_private, listen, url
from clusterm.server.state_files import locked
from clusterm.server.tls import HANDSHAKE_TIMEOUT_S, ServerLoop, Tls
from clusterm.server.tuning import tune_interpreter
from clusterm.settings import ManagerSettings, Settings
from clusterm.store.engine import Store
from clusterm.store.migration_copy import kept_copy
from clusterm.store.migrations import has_tables, migrate
from clusterm.telemetry.setup import check_installed

log = logging.getLogger(__name__)


def serve(
    settings: Settings,
    source: str | None,
    *,
    log_format: LogFormat | None = None,
    log_level: LogLevel | None = None,
    echo_job_logs: bool = False,
    insecure: bool = False,
    new_database: bool = False,
) -> None:
    """Run the service until it is stopped by a signal.

    Args:
        settings: the settings.
        source: the file of the settings, to be read again on SIGHUP.
        log_format: format of the log, in place of the configured one.
        log_level: lowest level that is logged, in place of the configured one.
        echo_job_logs: whether ansible's output is written to the log, too.
        insecure: whether to start without authentication on an address that other machines can reach.
        new_database: whether to create a database in place of one that is missing.

    Raises:
        StartupError: the service cannot start; the text gives the reason.
    """
    umask.restrict()
    hide_libpq_password(settings.store_url)
    service_log.configure(log_format or settings.manager.log_format, log_level or settings.manager.log_level)
    check_installed(settings.telemetry)
    state_dir = settings.manager.state_dir
    ensure_home(state_dir)
    tls = Tls(settings.manager) if settings.manager.tls_cert else None
    with (
        closing(Store(settings.store_url)) as store,
        locked(settings, store.file),
        listen(settings.manager) as sockets,
    ):
        if settings.manager.auth is Auth.NONE and not (insecure or all(map(is_private, sockets))):
            raise StartupError(
                f'with manager.auth = "none" any client that reaches {settings.manager.addr} could run your playbooks: '
                'set manager.auth = "token", listen on 127.0.0.1, or start with --insecure'
            )
        if not new_database:
            _check_not_lost(settings, store)
        store.lock_service()
        if came_from := migrate(store):
            log.info("the database was migrated from %s", came_from)
            if copy := kept_copy(store, came_from):
                log.info("a copy of the database before the migration is %s", copy)
        if settings.manager.auth is Auth.TOKEN:
            ensure_local_token(store, state_dir)
        if make_key(settings.key_file):
            log.info("the key of the secrets in the database is %s: back it up, but not beside them", settings.key_file)
        live_settings = LiveSettings(store, source, settings)
        app = create_app(store, live_settings, tls=tls, echo_job_logs=echo_job_logs)
        server = _Server(app, live_settings.current.manager, tls)
        limits = ConnectionLimits(settings.manager, raise_descriptor_limit())
        tune_interpreter()
        record_start(store)
        with _running(app.state.services.tasks):
            server.run([LimitedListener(listening, limits, tls=tls is not None) for listening in sockets])
        record_stop(store)


def _check_not_lost(settings: Settings, store: Store) -> None:
    """Refuse to start with an empty database where an earlier one was.

    Raises:
        StartupError: the database is missing, but files exist that were created together with it.
    """
    if has_tables(store):
        return
    if left := next(
        (file for file in (settings.key_file, settings.manager.state_dir / TOKEN_FILE) if file.exists()), None
    ):
        raise StartupError(
            f"the database {store.name} is {'empty' if store.file is None else 'missing'}, but {left} shows that there "
            f"was one: restore a backup{'' if store.file is None else ' with clusterm restore FILE'}, or start with "
            "--new-database to begin with an empty one"
        )


@contextmanager
def _running(tasks: Iterable[BackgroundTask]) -> Iterator[None]:
    """Run background tasks during the block; stop them in reverse order.

    Raises:
        StartupError: no thread can be started.
    """
    with ExitStack() as started:
        for task in tasks:
            task.start()
            started.callback(task.stop)
        yield


class _Server(uvicorn.Server):
    """uvicorn that reads settings and certificate again on SIGHUP, and disconnects followers at the end."""

    def __init__(self, app: Any, manager: ManagerSettings, tls: Tls | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(HttpProtocol, manager.client_timeout),  # type: ignore[arg-type]  # it makes such objects
                log_config=None,
                access_log=False,
                proxy_headers=False,  # ReadForwarded does it, for trusted proxies only
                timeout_keep_alive=manager.keep_alive,  # type: ignore[arg-type]  # it may have a fraction
                timeout_graceful_shutdown=3,
                h11_max_incomplete_event_size=manager.max_header_bytes,
                ssl_context_factory=(lambda *_: tls.context) if tls else None,
            )
        )
        self._app = app
        self._state_dir = manager.state_dir
        self._has_tls = tls is not None
        self._calls: int | None = None
        self._handshake_timeout = min(HANDSHAKE_TIMEOUT_S, manager.client_timeout)
        logging.getLogger("uvicorn.error").addFilter(RepetitionFilter(per_minute=10))  # about malformed requests
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn does so as well, but only when it runs
            signal.signal(number, self.handle_exit)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        with asyncio.Runner(loop_factory=partial(ServerLoop, self._handshake_timeout)) as runner:
            runner.run(self.serve(sockets=sockets))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and log the addresses once requests are answered. From then on, SIGHUP reloads the settings."""
        await super().startup(sockets)
        # A handler of the loop is not interrupted by the next signal, as one of the interpreter is.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._app.state.reloader.wake)
        self._hear_executors()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # which the command has blocked
        addresses = " and ".join(url(listening, tls=self._has_tls) for listening in sockets or ())
        log.info("clusterm listens on %s and keeps its state in %s", addresses, self._state_dir)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, without an interruption by SIGHUP."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        await super().shutdown(sockets)
        if self._calls is not None:
            asyncio.get_running_loop().remove_reader(self._calls)
            os.close(self._calls)

    def _hear_executors(self) -> None:
        """Wake the followers of a job when its executor has stored something."""
        follower = self._app.state.services.follower
        try:
            self._calls = calls = wake_file.listen(self._state_dir)
        except OSError as error:
            log.warning("followers of logs wait longer for lines: %s", error)
            return
        asyncio.get_running_loop().add_reader(calls, lambda: follower.wake(wake_file.jobs(calls)))

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 -- uvicorn calls it
        """Stop gracefully; on the second signal at once. uvicorn's own handler would end the process by the signal."""
        self._app.state.services.follower.stop()
        self.force_exit = self.should_exit
        self.should_exit = True
