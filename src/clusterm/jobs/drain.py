"""Drains the service."""

import logging
from datetime import UTC, datetime

from clusterm import schemas
from clusterm.enums import Cause, EventName
from clusterm.store import events, runtime_values
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store

log = logging.getLogger(__name__)


def drain(store: Store, *, drained: bool, by: str) -> schemas.Drain:
    """Reject new jobs and keep queued jobs waiting, or end that. The state survives a restart.

    Args:
        store: the store.
        drained: whether to reject new jobs.
        by: name of the requester.
    """
    with store.write() as session:
        if bool(runtime_values.get(session, runtime_values.DRAIN)) != drained:
            runtime_values.put(
                session, runtime_values.DRAIN, {"since": schemas.format_time(datetime.now(UTC))} if drained else {}
            )
            name = EventName.DRAINED if drained else EventName.UNDRAINED
            events.append(session, [events.new(None, name, cause=Cause.USER, by=by)])
        answer = schemas.Drain(drained=drained, running=[job.id for job in job_queries.running(session)])
    log.info("no new jobs are taken, by %s" if drained else "new jobs are taken again, by %s", by)
    return answer
