"""Starts a job that no rule forbids."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from clusterm.enums import Action, JobStatus
from clusterm.jobs.events import BEGUN_EVENT, job_event, set_status
from clusterm.nodes import lifecycle
from clusterm.store import events, nodes, tables
from clusterm.store import jobs as job_queries
from clusterm.store.session import Session


def boot_id() -> str:
    """Return the id of the machine's present boot (Linux, random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_job(session: Session, job: tables.Job, names: Sequence[str]) -> None:
    """Let a job run that no rule forbids, and take its nodes into the status that they have meanwhile."""
    job.status = JobStatus.RUNNING
    job.started_at = datetime.now(UTC)
    job.started_clock = time.monotonic()
    job.boot_id = boot_id()
    job_queries.hold_nodes(session, job.id)
    if job.action is Action.DISCOVER or job.check:
        return
    former: dict[str, str] = {}
    happened = []
    for node in nodes.by_names(session, names):
        changes = set_status(node, lifecycle.TRANSITIONS[job.action].running)
        if job.host_group and node.host_group != job.host_group:
            changes["host_group"] = [node.host_group, job.host_group]
            former[node.name], node.host_group = node.host_group, job.host_group
        happened.append(job_event(job, node.name, BEGUN_EVENT[job.action], changes=changes))
    if job.limit_batch is not None:
        job_queries.record_former_host_groups(session, job.id, former)
    events.append(session, happened)
