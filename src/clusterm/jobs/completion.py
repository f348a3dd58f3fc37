"""Finishes a job: its status, the status of each of its nodes and their events, in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from clusterm import schemas
from clusterm.common import batches
from clusterm.common.addresses import PORT_VAR, Place, ssh_port
from clusterm.common.elapsed import seconds_since
from clusterm.enums import DEFAULT_HOST_GROUPS, EventName, HostGroups, JobStatus, Outcome, Result
from clusterm.errors import RequestRefused
from clusterm.jobs.events import ended_event, job_event, log_end, set_status
from clusterm.jobs.progress import NodeOutcome, Registration, failed_step, outcomes
from clusterm.nodes import changes as node_changes
from clusterm.nodes import host_keys, lifecycle
from clusterm.notifications.events import record_job_end
from clusterm.store import counters, definitions, events, failures, job_records, job_views, log_reader, nodes, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.job_records import JobRecord
from clusterm.store.session import Session


@dataclass(frozen=True)
class Findings:
    """What an executor learned about the machines of its job."""

    discovered: Mapping[str, schemas.MonitoredNode | str] = field(default_factory=dict)
    """By address: the node to register, or the reason why the machine cannot be identified."""
    host_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By node or address: the host keys that were trusted at first use."""
    groups: HostGroups = field(default_factory=lambda: DEFAULT_HOST_GROUPS)
    """The site's host groups."""


_NOTHING: Final = Findings()


def finish(store: Store, job_id: int, error: str | None, findings: Findings = _NOTHING) -> None:
    """End a running job. A job that has ended already does not change.

    Args:
        store: the store.
        job_id: the job.
        error: why it failed; None if it did not.
        findings: what its executor learned.
    """
    digest = log_reader.digest(store, job_id)  # reads a large log outside of the transaction, in which no other writes
    with store.write() as session:
        record = job_records.load(session, job_queries.get(session, job_id))
        job = record.row
        if job_queries.has_ended(job):
            return
        job.bytes, job.sha256 = digest
        status = JobStatus.COMPLETE
        if error is not None:
            status, error = job.stop_status or JobStatus.ERRORED, job.stop_reason or error
        found = outcomes(record, failures.failed_nodes(session, job.id), failed=error is not None)
        refused = _register(session, found, findings, job.extra_vars)
        if refused and error is None:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            status, error = JobStatus.ERRORED, f"{refused[0]}{more}"
        _settle_nodes(session, record, found)
        failed = failed_step(record)
        failed_batch = (failed and failed.batch) or _last_batch(found)
        if error is not None and failed_batch is not None:
            error = f"in batch {failed_batch}: {error}"
        host_keys.learn(session, job, findings.host_keys, {outcome.target: outcome.node for outcome in found})
        end_job(session, record, found, status, error)
        ended = job_views.from_record(session, record)
    log_end(ended)


def end_job(
    session: Session,
    record: JobRecord,
    found: Sequence[NodeOutcome],
    status: JobStatus,
    error: str | None,
) -> None:
    """Write the end of a job, and an event for each of its nodes unless it is a check.

    Args:
        session: a writing transaction.
        record: the job.
        found: the outcome for each of its nodes.
        status: the status it ends with.
        error: why it failed; None if it did not.
    """
    passed = sum(outcome.passed for outcome in found)
    failed = sum(outcome.reached for outcome in found) - passed
    if error is not None and failed and _stopped_by_failures(record.row, found):
        allowed = batches.count(record.row.max_failures, len(found))
        error = (
            f"stopped after batch {_last_batch(found)} of {found[-1].batch}: {failed} of {len(found)} nodes failed, "
            f"{allowed} may (max_failures): {error}"
        )
    elif record.row.partial_success and passed and failed:
        error = f"{failed} of {len(found)} nodes failed: {error}"
    for node, outcome in zip(record.nodes, found, strict=True):
        node.outcome = outcome.outcome
    close(session, record, status, error)
    if not record.row.check:
        first_failures: dict[str, str] = {}
        for failure in failures.of_job(session, record.row.id):
            first_failures.setdefault(failure.node, failure.reason)
        events.append(session, _node_events(record.row, found, first_failures, error))


def _last_batch(found: Sequence[NodeOutcome]) -> int | None:
    """Return the last batch that was begun; None for a job without batches."""
    return max((outcome.batch for outcome in found if outcome.reached and outcome.batch), default=None)


def _stopped_by_failures(job: tables.Job, found: Sequence[NodeOutcome]) -> bool:
    """Return whether a job with a limit of failures has left out its last batches because of them."""
    return job.max_failures is not None and job.stop_status is None and not found[-1].reached


def close(session: Session, record: JobRecord, status: JobStatus, error: str | None) -> None:
    """Set the end of a job: status, unfinished steps and nodes' locks, and what is counted, recorded and notified."""
    job = record.row
    former, job.status = job.status, status
    job.error = error or ""
    job.finished_at = datetime.now(UTC)
    if job.started_at:
        job.seconds = seconds_since(job.started_at, job.boot_id, job.started_clock)
    job.end_order = job_queries.next_end_order(session)
    job.sha256 = job.sha256 or log_reader.NOTHING.sha256  # a job that never ran has no log
    for step in record.steps:
        if step.finished_at is None:  # it was interrupted before the end of its output was read
            step.finished_at, step.error, job.incomplete = job.finished_at, error, True
            step.seconds = seconds_since(step.started_at or job.finished_at, job.boot_id, step.started_clock)
    for node in record.nodes:
        node.held = False
        node.outcome = node.outcome or Outcome.SKIPPED  # the job was still queued
    counters.count(session, job)
    events.append(session, [ended_event(job, former)])
    record_job_end(session, job)


def _register(
    session: Session, found: Iterable[NodeOutcome], findings: Findings, extra_vars: Mapping[str, Any]
) -> list[str]:
    """Register discovered machines as nodes, and return why the others were refused, address first.

    A port in the extra vars of the job becomes that of the nodes, because it was needed to reach them.
    """
    port = ssh_port(extra_vars) if PORT_VAR in extra_vars else None
    refused = []
    for outcome in found:
        machine = findings.discovered.get(outcome.target)
        if machine is None:
            continue
        if isinstance(machine, str):  # the playbook has passed there all the same
            outcome.registration = Registration(accepted=True, detail=f"not registered: {machine}")
            continue
        machine = machine.model_copy(update={"port": port})
        try:
            outcome.changes = node_changes.register(session, machine, findings.groups)
        except RequestRefused as refusal:
            detail = f"not registered as {machine.name}: {refusal}"
            outcome.registration = Registration(accepted=False, detail=detail)
            outcome.passed = outcome.counts = False
            refused.append(f"{outcome.target}: {detail}")
        else:
            outcome.node = machine.name
            outcome.registration = Registration(accepted=True, detail=f"at {Place(machine.addr, port)}")
    return refused


def _settle_nodes(session: Session, record: JobRecord, found: Sequence[NodeOutcome]) -> None:
    """Set the status of a job's nodes, and restore nodes that it did not reach; note what changes in each."""
    job = record.row
    spec = definitions.of_job(job)
    if not spec.on_nodes or job.check:
        return
    former = {node.node: node.former_host_group for node in record.nodes}
    by_name = {outcome.target: outcome for outcome in found}
    for node in nodes.by_names(session, record.names):
        outcome, former_group = by_name[node.name], former[node.name]
        if outcome.reached:
            outcome.changes = set_status(node, lifecycle.status_after(spec, passed=outcome.counts) or node.prev_status)
            continue
        outcome.changes = set_status(node, node.prev_status)
        if former_group is not None:
            outcome.changes["host_group"] = [node.host_group, former_group]
            node.host_group = former_group


def _node_events(
    job: tables.Job, found: Iterable[NodeOutcome], first_failures: Mapping[str, str], error: str | None
) -> list[tables.Event]:
    """Return the event with which a job ends for each of its nodes."""
    told = []
    spec = definitions.of_job(job)
    for outcome in found:
        event, detail = spec.ended_event, first_failures.get(outcome.target, error)
        result: Result | None = Result.FAIL
        if not outcome.reached:
            event, result = EventName.SKIPPED, None
            ended = "ended before this node was reached" if outcome.begun else "was not begun"
            detail = f"the {job.action} {ended}, and the node is unchanged: {error}"
        elif outcome.registration is not None:
            detail = outcome.registration.detail
            result = Result.PASS if outcome.registration.accepted else Result.FAIL
        elif outcome.counts:
            result, detail = Result.PASS, None
        elif outcome.passed:
            detail = f"undone: it passed itself, but the job did not: {error}"
        if result is Result.PASS and not spec.passes_are_events:
            continue
        if outcome.node is None:
            detail = f"{outcome.target}: {detail}" if detail else outcome.target
        told.append(job_event(job, outcome.node, event, result=result, detail=detail, changes=outcome.changes))
    return told
