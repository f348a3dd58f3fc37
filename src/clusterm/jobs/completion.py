"""Finishes a job: its status, the status of each of its nodes and their events, in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from clusterm import schemas
from clusterm.enums import DEFAULT_HOST_GROUPS, Action, EventName, HostGroups, JobStatus, Result
from clusterm.errors import RequestRefused
from clusterm.jobs.events import ENDED_EVENT, job_event, log_end, set_status
from clusterm.jobs.progress import Outcomes, outcomes
from clusterm.nodes import changes as node_changes
from clusterm.nodes import host_keys, lifecycle
from clusterm.nodes.changes import Changes
from clusterm.notifications.events import record_job_end
from clusterm.settings import RetentionSettings
from clusterm.store import counters, events, job_views, log_reader, nodes, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.session import Session


def finish(
    store: Store,
    retention: RetentionSettings,
    job_id: int,
    error: str | None,
    *,
    discovered: Mapping[str, schemas.MonitoredNode | str] | None = None,
    learned: Mapping[str, Sequence[str]] | None = None,
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> None:
    """End a running job: write its status, the status of each of its nodes, and their events.

    Args:
        store: the store.
        retention: how many events to keep.
        job_id: the job. If it has ended already, nothing changes.
        error: why it failed; None if it did what it should.
        discovered: by address, the nodes that are to be registered, or why one is not.
        learned: by node or address, the host keys that were trusted at first use.
        groups: the site's host groups.
    """
    digest = log_reader.digest(store, job_id)  # a large log takes a while, in which others may write
    with store.write() as session:
        job = job_queries.get(session, job_id)
        if job_queries.has_ended(job):
            return
        job.bytes, job.sha256 = digest
        status = JobStatus.COMPLETE if error is None else job.stop_status or JobStatus.ERRORED
        if job.stop_reason is not None and error is not None:
            error = job.stop_reason
        found = outcomes(session, job, error)
        registered = _register(session, discovered or {}, groups)
        if refused := {name: one.detail for name, one in registered.items() if not one.passed}:
            found.passed.difference_update(refused)
            found.counted.difference_update(refused)
            if error is None:
                name, detail = next(iter(refused.items()))
                more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
                status, error = JobStatus.ERRORED, f"{name}: {detail}{more}"
        is_discover = job.action is Action.DISCOVER
        changes = {} if is_discover or job.check else _settle_nodes(session, job, found)
        if error is not None and found.batch is not None:
            error = f"in batch {found.batch}: {error}"
        targets = {name: None if is_discover else name for name in job_queries.node_names(session, job_id)}
        targets |= {address: one.node for address, one in registered.items()}
        host_keys.learn(session, job, learned or {}, targets)
        end_job(session, retention, job, status, error, found, changes, registered)
        ended = job_views.to_wire(session, job)
    log_end(ended)


def _settle_nodes(session: Session, job: tables.Job, found: Outcomes) -> dict[str, Changes]:
    """Take the nodes of a job that ends out of the status that they had meanwhile; those not reached, back.

    Returns:
        What changed in each.
    """
    former = job_queries.former_host_groups(session, job.id)
    changes = {}
    for node in nodes.by_names(session, job_queries.node_names(session, job.id)):
        if node.name in found.reached:
            status = lifecycle.status_after(job.action, passed=node.name in found.counted)
            changes[node.name] = set_status(node, status)
            continue
        changes[node.name] = set_status(node, node.prev_status)
        if node.name in former:
            changes[node.name]["host_group"] = [node.host_group, former[node.name]]
            node.host_group = former[node.name]
    return changes


def end_job(
    session: Session,
    retention: RetentionSettings,
    job: tables.Job,
    status: JobStatus,
    error: str | None,
    found: Outcomes,
    changes: Mapping[str, Changes] | None = None,
    registered: Mapping[str, "_Registered"] | None = None,
) -> None:
    """End a job and tell what became of each of its nodes; to those of a check nothing did.

    Args:
        session: a writing transaction.
        retention: how many events to keep.
        job: the job.
        status: what it ends as.
        error: why, unless it is complete.
        found: how its nodes did.
        changes: what changed in each node.
        registered: by address, what became of the machines that a discover job has prepared.
    """
    names = job_queries.node_names(session, job.id)
    failed = len(found.reached) - len(found.passed)
    if job.partial_success and found.passed and failed:
        error = f"{failed} of {len(names)} nodes failed: {error}"
    close(session, job, status, error)
    job_queries.record_results(session, job.id, found.passed, found.reached)
    if job.check:
        return
    fates = _fates(job, names, found, error, changes or {})
    for address, (node, passed, said, changed) in (registered or {}).items():
        result = Result.PASS if passed else Result.FAIL
        fates[address] = fates[address]._replace(node=node, result=result, detail=said, changes=changed)
    happened = []
    for name, fate in fates.items():
        detail = fate.detail
        if fate.node is None:  # there is none, but an address
            detail = f"{name}: {detail}" if detail else name
        happened.append(job_event(job, fate.node, fate.event, result=fate.result, detail=detail, changes=fate.changes))
    events.add(session, happened, timeline=retention.timeline, node_events=retention.node_events)


class _Fate(NamedTuple):
    """What a job's end means for one of its nodes."""

    node: str | None
    """Its name; None for an address that is no node's."""
    event: EventName
    result: Result | None
    detail: str | None
    changes: Changes


def _fates(
    job: tables.Job,
    names: Sequence[str],
    found: Outcomes,
    error: str | None,
    changes: Mapping[str, Changes],
) -> dict[str, _Fate]:
    """Return for each node of a job that has ended what its event says."""
    failures = [schemas.Failure.model_validate(failure) for failure in reversed(job.failures)]
    reasons = {failure.node: failure.reason for failure in failures}  # the first of each, which is to be mended
    fates: dict[str, _Fate] = {}
    for name in names:
        node = None if job.action is Action.DISCOVER else name
        event, detail = ENDED_EVENT[job.action], reasons.get(name, error)
        result: Result | None = Result.FAIL
        if name not in found.reached:
            event, result = EventName.SKIPPED, None
            detail = f"the {job.action} ended before it came to this node, which is as it was: {error}"
        elif name in found.counted:
            result, detail = Result.PASS, None
        elif name in found.passed:
            detail = f"passed itself, but the job did not: {error}"
        fates[name] = _Fate(node, event, result, detail, changes.get(name, {}))
    return fates


class _Registered(NamedTuple):
    """What became of an address that was to be registered as a node."""

    node: str | None
    passed: bool
    detail: str
    changes: Changes


def _register(
    session: Session, discovered: Mapping[str, schemas.MonitoredNode | str], groups: HostGroups
) -> dict[str, _Registered]:
    registered = {}
    for address, node in discovered.items():
        if isinstance(node, str):  # the playbook has passed there all the same
            registered[address] = _Registered(None, passed=True, detail=f"not registered: {node}", changes={})
            continue
        try:
            changes = node_changes.register(session, node, groups)
            registered[address] = _Registered(node.name, passed=True, detail=f"at {address}", changes=changes)
        except RequestRefused as refusal:
            detail = f"not registered as {node.name}: {refusal}"
            registered[address] = _Registered(None, passed=False, detail=detail, changes={})
    return registered


def close(session: Session, job: tables.Job, status: JobStatus, error: str | None) -> None:
    """End a job: its status, its unfinished steps, its nodes' locks, its counters and notifications."""
    job.status = status
    job.error = error or ""
    job.finished_at = datetime.now(UTC)
    job.end_order = job_queries.next_end_order(session)
    job.sha256 = job.sha256 or log_reader.NOTHING.sha256  # a job that never ran has no log
    for step in job_queries.steps(session, job.id):
        if step.finished_at is None:  # it was interrupted
            step.finished_at, step.error = job.finished_at, error
    job_queries.release_nodes(session, job.id)
    counters.count(session, job)
    record_job_end(session, job)
