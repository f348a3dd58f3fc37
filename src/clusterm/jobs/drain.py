"""Drains the service."""

import logging
from datetime import UTC, datetime

from clusterm import schemas
from clusterm.store import jobs as job_queries
from clusterm.store import runtime_values
from clusterm.store.engine import Store

log = logging.getLogger(__name__)


def drain(store: Store, *, drained: bool) -> schemas.Drain:
    """Reject new jobs and keep queued jobs waiting, or end that. The state survives a restart."""
    with store.write() as session:
        runtime_values.put(
            session, runtime_values.DRAIN, {"since": schemas.format_time(datetime.now(UTC))} if drained else {}
        )
        answer = schemas.Drain(drained=drained, running=[job.id for job in job_queries.running(session)])
    log.info("no new jobs are taken" if drained else "new jobs are taken again")
    return answer
