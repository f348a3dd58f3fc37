"""View of the service's status."""

from __future__ import annotations

from typing import Final

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import block, span, time
from clusterctl.views.jobs import progress
from clusterm import schemas
from clusterm.common.sizes import rounded_size

_MAX_LISTED: Final = 5
"""Jobs that are named in a row."""


def status(data: Json) -> View:
    """Show version, readiness, jobs, nodes, free space and failing background tasks."""
    shown = read(schemas.ServiceStatus, data)
    lacking = [f"{name}: {check.why}" for name, check in shown.checks.items() if not check.ok and check.needed]
    warnings = [f"{name}: {check.why}" for name, check in shown.checks.items() if not check.ok and not check.needed]
    yield block(
        {
            "Service": f"clusterm {shown.version} at {shown.url}",
            "Since": f"{time(shown.since)}, for {span(shown.since, None)}",
            "Ready": "no: " + "; ".join(lacking) if lacking else "yes",
            "Warnings": "; ".join(warnings),
            "Jobs": _jobs(shown),
            "Running": _running(shown),
            "Queue": _queue(shown),
            "Nodes": _nodes(shown),
            "Last job": _job(shown.last_job),
            "Last failure": _job(shown.last_failure),
            "Store": f"{rounded_size(shown.store_bytes)}; {rounded_size(shown.free_bytes)} free on its disk",
            "Notifications": "; ".join(
                f"{name}: {count.pending} to be sent, {count.sent} sent, {count.failed} dropped"
                for name, count in shown.notifications.items()
            ),
            "Failing tasks": "; ".join(
                f"{task.name} since {time(task.last_success or shown.since)}: {task.last_error}"
                for task in shown.tasks
                if _is_failing(task)
            ),
        }
    )


def _is_failing(task: schemas.BackgroundTaskStatus) -> bool:
    """Return whether a background task has failed since its last success."""
    return task.last_error_at is not None and (task.last_success is None or task.last_success < task.last_error_at)


def _jobs(shown: schemas.ServiceStatus) -> str:
    drained = "; the service is drained and accepts no new jobs" if shown.drained else ""
    return f"{len(shown.running)} running; {shown.queued} queued{drained}"


def _running(shown: schemas.ServiceStatus) -> str:
    listed = []
    for job in shown.running[:_MAX_LISTED]:
        text = progress(job.current)
        listed.append(f"{job.id} ({job.desc})" + (f": {text}" if text else ""))
    more = f"; and {len(shown.running) - len(listed)} more" if len(shown.running) > len(listed) else ""
    return "; ".join(listed) + more


def _queue(shown: schemas.ServiceStatus) -> str:
    listed = [f"{job.id} ({job.desc}): {job.wait.reason}" for job in shown.waiting[:_MAX_LISTED]]
    more = f"; and {shown.queued - len(listed)} more" if listed and shown.queued > len(listed) else ""
    return "; ".join(listed) + more


def _nodes(shown: schemas.ServiceStatus) -> str:
    each = [f"{count.nodes} {count.status} {count.state}" for count in shown.nodes]
    return f"{sum(count.nodes for count in shown.nodes)}" + (f": {', '.join(each)}" if each else "")


def _job(job: schemas.JobSummary | None) -> str:
    if job is None or job.finished_at is None:
        return ""
    return f"{job.id} ({job.desc}) {job.status} at {time(job.finished_at)}" + (f": {job.error}" if job.error else "")
