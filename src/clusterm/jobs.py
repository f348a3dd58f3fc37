"""Jobs begin and end here, each in one transaction, so that a job, its nodes and their events always agree."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlmodel import Session

from clusterm import lifecycle, node_changes, schemas
from clusterm.errors import ActiveJob, BadRequest, Conflict, Drained, KeyReused, RequestRefused
from clusterm.lifecycle import Member
from clusterm.node_changes import Changes
from clusterm.settings import RetentionSettings
from clusterm.states import DEFAULT_HOST_GROUPS, Action, Cause, EventName, HostGroups, JobStatus, Result, Status
from clusterm.store import events, jobs, kept, keys, nodes, tables
from clusterm.store.engine import Store

_EVENT_OF: Final = {
    Action.COMMISSION: EventName.COMMISSIONED,
    Action.DECOMMISSION: EventName.DECOMMISSIONED,
    Action.UPDATE: EventName.UPDATED,
    Action.DISCOVER: EventName.DISCOVERED,
}
_BEGINNING_OF: Final = {
    Action.COMMISSION: EventName.COMMISSIONING,
    Action.DECOMMISSION: EventName.DECOMMISSIONING,
    Action.UPDATE: EventName.UPDATING,
}


@dataclass(frozen=True)
class Order:
    """What a job is to do."""

    action: Action
    targets: Sequence[str]
    """Names or management addresses of nodes; for discover, addresses that are no node's."""
    host_group: str = ""
    """The group to commission or update nodes into; empty where it stays as it is."""
    extra_vars: dict[str, Any] = field(default_factory=dict)
    job_timeout: float | None = None
    idle_timeout: float | None = None
    retry_of: int | None = None


@dataclass(frozen=True)
class Sender:
    """Who asks, and what makes the same request known when it comes again."""

    name: str
    key: str | None = None
    """Idempotency key."""
    digest: str = ""
    """Of the whole request."""


def begin(
    store: Store,
    order: Order,
    sender: Sender,
    *,
    max_active: int,
    queue: bool = False,
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> schemas.Job:
    """Accept a job: check every rule, then write the job and what it changes in its nodes.

    Args:
        store: the store.
        order: what to do.
        sender: who asks.
        max_active: how many jobs may run at once.
        queue: whether the job may wait for its turn.
        groups: the site's host groups.

    Returns:
        The job, running or queued; the first one where the request has come before. If it is running, its executor is
        to be started now that it is committed.

    Raises:
        RequestRefused: a rule forbids it. Nothing has changed.
    """
    with store.write() as session:
        if known := _known(session, sender):
            return known
        return _begin(session, order, sender, max_active=max_active, queue=queue, groups=groups)


def retry(
    store: Store,
    label: str,
    sender: Sender,
    *,
    failed_only: bool,
    max_active: int,
    queue: bool = False,
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> schemas.Job:
    """Begin a job that does the same as an ended one, on the same nodes or on those that failed.

    Raises:
        RequestRefused: there is no such job, it has not ended, nothing failed, or a rule forbids it.
    """
    with store.write() as session:
        if known := _known(session, sender):
            return known
        first = jobs.labelled(session, label)
        if not jobs.has_ended(first):
            raise Conflict(f"job {first.id} has not ended: wait for it, or cancel it, before it is tried again")
        targets = jobs.node_names(session, first.id)
        if failed_only:
            if first.status is JobStatus.COMPLETE:
                raise Conflict(f"no node failed in job {first.id}")
            failed = {failure["node"] for failure in first.failures}
            targets = [name for name in targets if name in failed] or targets
        order = Order(
            first.action,
            targets,
            host_group=first.host_group,
            extra_vars=first.extra_vars,
            job_timeout=first.job_timeout,
            idle_timeout=first.idle_timeout,
            retry_of=first.id,
        )
        return _begin(session, order, sender, max_active=max_active, queue=queue, groups=groups)


def begin_queued(
    store: Store, retention: RetentionSettings, *, max_active: int, groups: HostGroups = DEFAULT_HOST_GROUPS
) -> None:
    """Let queued jobs run for which there is room, the oldest first.

    One whose nodes are in another job goes on waiting, and so do younger ones that want the same nodes. One that a
    rule forbids by now ends.
    """
    with store.read() as session:
        if not jobs.queued(session):
            return
    with store.write() as session:
        if kept.get(session, kept.DRAIN):
            return
        room = max_active - len(jobs.running(session))
        taken = jobs.held_nodes(session)
        for job in jobs.queued(session):
            names = jobs.node_names(session, job.id)
            if room > 0 and taken.isdisjoint(names):
                try:
                    _check_targets(session, job.action, names)
                    changes = _enter(session, job.action, names, job.host_group, groups)
                except RequestRefused as refusal:
                    _end(session, retention, job, JobStatus.ERRORED, f"not started when its turn came: {refusal}", {})
                    continue
                _start(session, job, changes)
                room -= 1
            taken.update(names)


def request_stop(
    store: Store, label: str, status: JobStatus, reason: str, *, sender: Sender | None, cleanup: bool
) -> schemas.Job:
    """Ask for the end of a job: a queued one ends at once, a running one when its executor has stopped ansible.

    Args:
        store: the store.
        label: which job.
        status: what it ends as.
        reason: why.
        sender: who asks; None if it is a timeout.
        cleanup: whether a configure playbook that is stopped is cleaned up after.

    Raises:
        RequestRefused: there is no such job, or it has ended.
    """
    with store.write() as session:
        if sender and (known := _known(session, sender)):
            return known
        job = jobs.labelled(session, label)
        if jobs.has_ended(job):
            raise Conflict(f"job {job.id} has ended already: it is {job.status}")
        if job.stop_status is None:
            job.stop_status, job.stop_reason = status, reason
            job.stop_requested_by, job.stop_requested_at = (sender.name if sender else None), datetime.now(UTC)
        if not cleanup:
            job.stop_cleanup = False
        if job.status is JobStatus.QUEUED:
            _close(session, job, JobStatus.CANCELLED, reason)
        if sender and sender.key is not None:
            keys.remember(session, sender.key, sender.digest, job.id)
        session.flush()
        return jobs.to_wire(session, job)


def finish(
    store: Store,
    retention: RetentionSettings,
    job_id: int,
    error: str | None,
    *,
    discovered: Mapping[str, schemas.MonitoredNode | str] | None = None,
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> None:
    """End a running job: write its status, the status of each of its nodes, and their events.

    Args:
        store: the store.
        retention: how many events to keep.
        job_id: the job. If it has ended already, nothing changes.
        error: why it failed; None if it did what it should.
        discovered: by address, the nodes that are to be registered, or why one is not.
        groups: the site's host groups.
    """
    with store.write() as session:
        job = jobs.get(session, job_id)
        if jobs.has_ended(job):
            return
        status = JobStatus.COMPLETE if error is None else job.stop_status or JobStatus.ERRORED
        registered = _register(session, discovered or {}, groups)
        failed = [f"{address}: {one.detail}" for address, one in registered.items() if not one.passed]
        if error is None and failed:
            status, error = JobStatus.ERRORED, failed[0] + (f" (and {len(failed) - 1} more)" if failed[1:] else "")
        changes = {}
        if job.action is not Action.DISCOVER:
            for node in nodes.named(session, jobs.node_names(session, job_id)):
                changes[node.name] = _set_status(node, lifecycle.status_after(job.action, passed=error is None))
        error = error if job.stop_reason is None or error is None else job.stop_reason
        _end(session, retention, job, status, error, changes, registered)


def drain(store: Store, *, drained: bool) -> schemas.Drain:
    """Refuse new jobs, and hold queued ones back, until told otherwise; also after a restart."""
    with store.write() as session:
        kept.put(session, kept.DRAIN, {"since": schemas.format_time(datetime.now(UTC))} if drained else {})
        return schemas.Drain(drained=drained, running=[job.id for job in jobs.running(session)])


def boot_id() -> str:
    """Return the id of the machine's present boot (Linux, random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _begin(
    session: Session, order: Order, sender: Sender, *, max_active: int, queue: bool, groups: HostGroups
) -> schemas.Job:
    if kept.get(session, kept.DRAIN):
        raise Drained(
            "no new jobs are taken: the service is drained. Try again later, or end it with: clusterm undrain"
        )
    names = _check_targets(session, order.action, order.targets)
    host_group = "" if order.action in {Action.DECOMMISSION, Action.DISCOVER} else order.host_group
    lifecycle.check_host_group(order.action, host_group, groups)
    blocking = _blocking_job(session, names, max_active)
    if blocking and not queue:
        raise ActiveJob(_reference(session, blocking))
    job = tables.Job(
        action=order.action,
        status=JobStatus.QUEUED,
        host_group=host_group,
        extra_vars=order.extra_vars,
        requested_by=sender.name,
        created_at=datetime.now(UTC),
        retry_of=order.retry_of,
        job_timeout=order.job_timeout,
        idle_timeout=order.idle_timeout,
    )
    changes = {} if blocking else _enter(session, order.action, names, host_group, groups)
    session.add(job)
    session.flush()
    session.add_all(
        tables.JobNode(job_id=job.id, position=position, node=name, held=False)
        for position, name in enumerate(names, start=1)
    )
    session.flush()
    if not blocking:
        _start(session, job, changes)
    if sender.key is not None:
        keys.remember(session, sender.key, sender.digest, job.id)
    session.flush()
    return jobs.to_wire(session, job)


def _known(session: Session, sender: Sender) -> schemas.Job | None:
    """Return the job that the same request began before, if it has come before."""
    found = keys.get(session, sender.key) if sender.key is not None else None
    if found is None:
        return None
    if found.request != sender.digest:
        raise KeyReused("the Idempotency-Key was used for another request: use a new one for each request")
    return jobs.to_wire(session, jobs.get(session, found.job_id))


def _check_targets(session: Session, action: Action, targets: Sequence[str]) -> list[str]:
    """Return the names of the nodes, or for discover the addresses, each once."""
    if not targets:
        raise BadRequest("atleast one node should be specified")
    if action is not Action.DISCOVER:
        return list(dict.fromkeys(nodes.get(session, target).name for target in targets))
    if existing := nodes.at_addresses(session, targets):
        listed = " ".join(f"{node.name}:{node.address}" for node in existing)
        raise Conflict(
            f"one or more nodes already exist with the specified management addresses. Existing nodes: [{listed}]"
        )
    return list(targets)


def _blocking_job(session: Session, names: Sequence[str], max_active: int) -> tables.Job | None:
    """Return a job because of which one on these nodes cannot run now. Those that wait for their turn come first."""
    ahead = [*jobs.running(session), *jobs.queued(session)]
    if len(ahead) >= max_active:
        return ahead[0]
    return next((job for job in ahead if not set(names).isdisjoint(jobs.node_names(session, job.id))), None)


def _enter(
    session: Session, action: Action, names: Sequence[str], host_group: str, groups: HostGroups
) -> dict[str, Changes]:
    """Check the rules, take the nodes into the status that they have while the job runs, and return what changed."""
    if action is Action.DISCOVER:
        return {}
    every = {node.name: node for node in nodes.every(session)}
    cluster = {node.name: _member(node) for node in every.values()}
    lifecycle.check(action, names, host_group, cluster, groups)
    changes = {}
    for name in names:
        node = every[name]
        changes[name] = _set_status(node, lifecycle.PASSAGES[action].running)
        if host_group and node.host_group != host_group:
            changes[name]["host_group"] = [node.host_group, host_group]
            node.host_group = host_group
    return changes


def _start(session: Session, job: tables.Job, changes: Mapping[str, Changes]) -> None:
    job.status = JobStatus.RUNNING
    job.started_at = datetime.now(UTC)
    job.started_clock = time.monotonic()
    job.boot_id = boot_id()
    jobs.hold_nodes(session, job.id)
    events.append(
        session,
        (
            tables.Event(
                at=job.started_at,
                node=name,
                event=_BEGINNING_OF[job.action],
                result=None,
                job_id=job.id,
                detail=None,
                cause=Cause.JOB,
                by=job.requested_by,
                changes=changed,
            )
            for name, changed in changes.items()
        ),
    )


def _end(
    session: Session,
    retention: RetentionSettings,
    job: tables.Job,
    status: JobStatus,
    error: str | None,
    changes: Mapping[str, Changes],
    registered: Mapping[str, "_Registered"] | None = None,
) -> None:
    """End a job and tell what became of each of its nodes."""
    _close(session, job, status, error)
    passed = status is JobStatus.COMPLETE
    failures = [schemas.Failure.model_validate(failure) for failure in job.failures]
    reasons = {failure.node: failure.reason for failure in failures}
    happened = []
    for name in jobs.node_names(session, job.id):
        node: str | None = name
        changed, node_passed = changes.get(name, {}), passed
        detail = None if passed else reasons.get(name, error)
        if registered and name in registered:
            node, node_passed, detail, changed = registered[name]
        elif job.action is Action.DISCOVER:
            node = None
        if node is None:  # there is none, but an address
            detail = f"{name}: {detail}" if detail else name
        happened.append(
            tables.Event(
                at=datetime.now(UTC),
                node=node,
                event=_EVENT_OF[job.action],
                result=Result.PASS if node_passed else Result.FAIL,
                job_id=job.id,
                detail=detail,
                cause=Cause.JOB,
                by=job.requested_by,
                changes=changed,
            )
        )
    events.add(session, happened, timeline=retention.timeline, node_events=retention.node_events)


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


def _close(session: Session, job: tables.Job, status: JobStatus, error: str | None) -> None:
    job.status = status
    job.error = error or ""
    job.finished_at = datetime.now(UTC)
    job.end_order = jobs.next_end_order(session)
    for step in jobs.steps(session, job.id):
        if step.finished_at is None:  # it was interrupted
            step.finished_at, step.error = job.finished_at, error
    jobs.release_nodes(session, job.id)


def _member(node: tables.Node) -> Member:
    return Member(name=node.name, status=node.status, state=node.state, host_group=node.host_group)


def _set_status(node: tables.Node, status: Status) -> Changes:
    node.prev_status, node.status = node.status, status
    return {"status": [node.prev_status, status]}


def _reference(session: Session, job: tables.Job) -> str:
    return f"{jobs.describe(job, jobs.node_names(session, job.id))} (id {job.id})"
