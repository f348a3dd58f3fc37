"""The application: routes, error responses and limits around the parts of the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from clusterm.access.authenticator import Guard
from clusterm.background.pruner import Pruner
from clusterm.background.supervisor import Supervisor
from clusterm.errors import RequestRefused
from clusterm.live_settings import Configuration
from clusterm.logs.follower import Tail
from clusterm.monitoring.monitors import Monitors
from clusterm.notifications.sender import Notifier
from clusterm.observability.metrics import Metrics
from clusterm.routes import config, docs, health, host_keys, job_tasks, jobs, logs, monitoring, node_changes, nodes
from clusterm.routes import metrics as prometheus
from clusterm.routes.dependencies import Service
from clusterm.server.exception_handlers import (
    _answer_defect,
    _answer_http_error,
    _answer_invalid,
    _answer_refusal,
    _answer_store_error,
)
from clusterm.server.middleware import CountRequests, _SecurityHeaders, _SizeLimits
from clusterm.server.openapi import _DESCRIPTION, _TAGS, _openapi
from clusterm.store.engine import Store


def create_app(store: Store, configuration: Configuration, *, echo_job_logs: bool = False) -> FastAPI:
    """Put the service together.

    Args:
        store: a migrated store.
        configuration: the configuration.
        echo_job_logs: whether what ansible writes goes to the service's log, too.
    """
    supervisor = Supervisor(store, lambda: configuration.current, echo_job_logs=echo_job_logs)
    pruner = Pruner(store, lambda: configuration.current.retention)
    monitors = Monitors(store, lambda: configuration.current)
    notifier = Notifier(store, lambda: configuration.current)
    tail = Tail(store)
    metrics = Metrics(store, configuration.current.manager.state_dir)
    guard = Guard(store, lambda: configuration.current.manager)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        notifier.start()
        supervisor.start()
        pruner.start()
        monitors.start()
        guard.start()
        yield
        guard.stop()
        monitors.stop()
        pruner.stop()
        supervisor.stop()
        notifier.stop()

    app = FastAPIOffline(
        title="clusterm",
        version=version("clusterm"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = Service(store, configuration, supervisor, monitors, notifier, tail, metrics, guard)
    for part in (nodes, node_changes, host_keys, jobs, job_tasks, logs, monitoring, config, health, prometheus, docs):
        app.include_router(part.routes)
    app.add_exception_handler(RequestRefused, _answer_refusal)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(DBAPIError, _answer_store_error)
    app.add_exception_handler(Exception, _answer_defect)
    app.add_middleware(_SizeLimits, manager=configuration.current.manager)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(_SecurityHeaders)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI documents this way
    return app
