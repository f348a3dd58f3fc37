"""Records in the timeline that the service has started and stopped."""

import logging
from importlib.metadata import version

from clusterm.enums import Cause, EventName
from clusterm.store import events
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)


def record_start(store: Store) -> None:
    """Record that the service has started, whether the last one had stopped, and which jobs it takes over.

    A service starts also on a full disk, where that is only logged.
    """
    detail = f"clusterm {version('clusterm')}"
    try:
        with store.write() as session:
            last = events.latest(session, {EventName.SERVICE_STARTED, EventName.SERVICE_STOPPED})
            if last is not None and last.event is EventName.SERVICE_STARTED:
                detail += "; the last service ended without a stop"
            if running := [str(job.id) for job in job_queries.running(session)]:
                detail += f"; running: job {', '.join(running)}"
            events.append(session, [events.new(None, EventName.SERVICE_STARTED, cause=Cause.SERVICE, detail=detail)])
    except StoreError as error:
        log.warning("the start of the service cannot be recorded in the timeline: %s", error)


def record_stop(store: Store) -> None:
    """Record that the service stops. If that is not possible, the next start reports an end without a stop."""
    try:
        with store.write() as session:
            events.append(session, [events.new(None, EventName.SERVICE_STOPPED, cause=Cause.SERVICE)])
    except StoreError as error:
        log.warning("the stop of the service cannot be recorded in the timeline: %s", error)
