"""Assembles the application: the parts of the service, background tasks, routes, error handlers and middleware."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from clusterm.access.authenticator import Authenticator
from clusterm.access.hosts import AllowedHosts
from clusterm.access.web_sessions import WebSessions
from clusterm.background.pruner import Pruner
from clusterm.background.readiness_log import ReadinessLog
from clusterm.background.supervisor import Supervisor
from clusterm.common.background_task import BackgroundTask
from clusterm.errors import RequestRefused
from clusterm.live_settings import LiveSettings
from clusterm.logs.follower import LogFollower
from clusterm.monitoring.monitors import Monitors
from clusterm.notifications.sender import NotificationSender
from clusterm.observability.metrics import Metrics
from clusterm.routes import (
    actions,
    changes,
    config,
    docs,
    health,
    host_keys,
    job_tasks,
    jobs,
    logs,
    monitoring,
    node_changes,
    nodes,
    tokens,
    ui_links,
)
from clusterm.routes import metrics as prometheus
from clusterm.routes.dependencies import Services
from clusterm.server.api_version import ReadApiVersion
from clusterm.server.exception_handlers import (
    handle_defect,
    handle_http_error,
    handle_invalid_request,
    handle_rejection,
    handle_store_error,
)
from clusterm.server.middleware import AnswerHeadAndOptions, CountRequests, ResponseHeaders, SizeLimits
from clusterm.server.openapi import DESCRIPTION, SERVERS, TAGS, openapi_document
from clusterm.server.origins import CheckOrigins, ReadForwarded
from clusterm.server.reload import Reloader
from clusterm.server.tls import Tls
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError
from clusterm.telemetry.setup import make_exporter
from clusterm.web import changes as ui_changes
from clusterm.web import job_log, job_results, overview, run_pages, sign_in
from clusterm.web import jobs as ui_jobs
from clusterm.web import nodes as ui_nodes
from clusterm.web import settings as ui_settings


def create_app(
    store: Store, live_settings: LiveSettings, *, tls: Tls | None = None, echo_job_logs: bool = False
) -> FastAPI:
    """Assemble the service.

    Args:
        store: a migrated store.
        live_settings: the settings.
        tls: the certificate, to be read again with the settings.
        echo_job_logs: whether ansible's output is written to the service's log, too.

    Returns:
        The application. Its state has `services`, whose `tasks` the caller starts and stops, and the `reloader` of
        settings and certificate.
    """
    manager = live_settings.current.manager  # its changes need a restart
    supervisor = Supervisor(store, lambda: live_settings.current, echo_job_logs=echo_job_logs)
    pruner = Pruner(store, lambda: live_settings.current.retention)
    monitors = Monitors(store, lambda: live_settings.current)
    notification_sender = NotificationSender(store, lambda: live_settings.current)
    follower = LogFollower(store)
    reloader = Reloader(live_settings, tls)
    readiness_log = ReadinessLog(lambda: services.check_health())  # noqa: PLW0108 -- there are no services yet
    authenticator = Authenticator(store, lambda: live_settings.current.manager)
    telemetry_exporter = make_exporter(store, live_settings.current.telemetry)
    tasks: tuple[BackgroundTask, ...] = (
        notification_sender,
        *([telemetry_exporter] if telemetry_exporter else ()),
        supervisor,
        pruner,
        monitors,
        authenticator.usage,
        reloader,
        readiness_log,
    )

    app = FastAPIOffline(
        title="clusterm",
        version=version("clusterm"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        servers=SERVERS,
        root_path_in_servers=False,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
    )
    services = app.state.services = Services(
        store,
        live_settings,
        supervisor,
        monitors,
        notification_sender,
        follower,
        Metrics(
            store,
            manager,
            checks=lambda: services.check_health(),  # noqa: PLW0108 -- there are no services yet
            tasks=lambda: [task.status for task in tasks],
            lost_executors=lambda: supervisor.lost_executors,
            certificate_expiry=lambda: tls.expires_at if tls else None,
        ),
        authenticator,
        WebSessions(store, authenticator),
        tasks,
        certificate_check=lambda: tls.check() if tls else None,
    )
    app.state.reloader = reloader
    of_nodes, of_jobs = (nodes, node_changes, host_keys, actions), (jobs, job_tasks, logs, changes)
    for part in (*of_nodes, *of_jobs, monitoring, config, tokens, health, prometheus, docs):
        app.include_router(part.routes)
    if manager.ui:
        ui_parts = (ui_links, sign_in, overview, ui_nodes, ui_jobs, job_log, job_results)
        for page in (*ui_parts, run_pages, ui_settings, ui_changes):
            app.include_router(page.routes)
    app.add_exception_handler(RequestRefused, handle_rejection)
    app.add_exception_handler(HTTPException, handle_http_error)
    app.add_exception_handler(RequestValidationError, handle_invalid_request)
    app.add_exception_handler(StoreError, handle_store_error)
    app.add_exception_handler(Exception, handle_defect)
    # From the innermost to the outermost.
    app.add_middleware(AnswerHeadAndOptions)
    app.add_middleware(CheckOrigins, hosts=AllowedHosts(manager, lambda: tls.names if tls else ()), manager=manager)
    app.add_middleware(SizeLimits, manager=manager)
    app.add_middleware(CountRequests, metrics=services.metrics)
    app.add_middleware(ReadApiVersion)
    app.add_middleware(ReadForwarded, manager=manager)
    app.add_middleware(ResponseHeaders)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]  # FastAPI documents this way
    return app
