"""Starts a job that no rule forbids."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import Session

from clusterm.enums import Action, JobStatus
from clusterm.jobs.events import _BEGINNING_OF, _event, _set_status
from clusterm.nodes import lifecycle
from clusterm.store import events, nodes, tables
from clusterm.store import jobs as job_queries


def boot_id() -> str:
    """Return the id of the machine's present boot (Linux, random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start(session: Session, job: tables.Job, names: Sequence[str]) -> None:
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
    for node in nodes.named(session, names):
        changes = _set_status(node, lifecycle.PASSAGES[job.action].running)
        if job.host_group and node.host_group != job.host_group:
            changes["host_group"] = [node.host_group, job.host_group]
            former[node.name], node.host_group = node.host_group, job.host_group
        happened.append(_event(job, node.name, _BEGINNING_OF[job.action], changes=changes))
    if job.limit_batch is not None:
        job_queries.note_former_host_groups(session, job.id, former)
    events.append(session, happened)
