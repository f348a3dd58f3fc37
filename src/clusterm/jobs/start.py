"""Starts an admitted job."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from clusterm.common.elapsed import boot_id, seconds_since
from clusterm.enums import JobStatus
from clusterm.jobs.events import accepted_event, job_event, set_status
from clusterm.store import definitions, events, nodes, tables
from clusterm.store import jobs as job_queries
from clusterm.store.session import Session


def start_job(session: Session, job: tables.Job, names: Sequence[str]) -> None:
    """Start an admitted job, and set its nodes to the status that they have while it runs."""
    job.status = JobStatus.RUNNING
    job.waited = seconds_since(job.created_at, job.boot_id, job.created_clock)
    job.started_at = datetime.now(UTC)
    job.started_clock = time.monotonic()
    job.boot_id = boot_id()
    job_queries.hold_nodes(session, job.id)
    happened = [accepted_event(job, names)]
    spec = definitions.of_job(job)
    if spec.transition is None or job.check:
        events.append(session, happened)
        return
    former: dict[str, str] = {}
    for node in nodes.by_names(session, names):
        changes = set_status(node, spec.transition.running or node.status)
        if job.host_group and node.host_group != job.host_group:
            changes["host_group"] = [node.host_group, job.host_group]
            former[node.name], node.host_group = node.host_group, job.host_group
        if spec.begun_event:
            happened.append(job_event(job, node.name, spec.begun_event, changes=changes))
    job_queries.record_former_host_groups(session, job.id, former)
    events.append(session, happened)
