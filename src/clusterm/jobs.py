"""Jobs begin and end here, each in one transaction, so that a job, its nodes and their events always agree."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlmodel import Session

from clusterm import host_keys, lifecycle, node_changes, schemas
from clusterm.errors import ActiveJob, BadRequest, Conflict, Drained, KeyReused, RequestRefused, SecretsLost
from clusterm.journal import JobLog
from clusterm.lifecycle import Member, Objection
from clusterm.node_changes import Changes
from clusterm.progress import Outcomes, outcomes
from clusterm.selection import Candidate, select
from clusterm.settings import RetentionSettings, Settings
from clusterm.states import (
    DEFAULT_HOST_GROUPS,
    Action,
    Cause,
    EventName,
    HostGroups,
    JobStatus,
    Result,
    Status,
)
from clusterm.store import events, jobs, kept, keys, nodes, notifications, sealed, selection, tables, totals
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

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

_DRAINED: Final = "no new jobs are taken: the service is drained. Try again later, or end it with: clusterm undrain"


@dataclass(frozen=True)
class Order:
    """What a job is to do."""

    action: Action
    targets: Sequence[str]
    """Names, management addresses or globs of nodes; for discover, addresses that are no node's."""
    select: schemas.Selection = field(default_factory=schemas.Selection)
    """Which of these nodes to take."""
    host_group: str = ""
    """The group to commission or update nodes into; empty where it stays as it is."""
    extra_vars: dict[str, Any] = field(default_factory=dict)
    check: bool = False
    """Whether ansible only says what it would change."""
    limit_batch: int | None = None
    """How many nodes to take at a time."""
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


@dataclass(frozen=True)
class Judgement:
    """What would become of an order now."""

    names: list[str]
    """Of the nodes that it means; for discover, the addresses."""
    host_group: str
    """The group that it brings them into, empty for none."""
    objections: list[Objection]
    """What forbids it, the one that is answered first."""
    waits_for: tables.Job | None
    """Because of which job it would wait for its turn."""


def begin(store: Store, settings: Settings, order: Order, sender: Sender, *, queue: bool = False) -> schemas.Job:
    """Accept a job: check every rule, then write the job and what it changes in its nodes.

    Args:
        store: the store.
        settings: the configuration as it is now.
        order: what to do.
        sender: who asks.
        queue: whether the job may wait for its turn.

    Returns:
        The job, running or queued; the first one where the request has come before. If it is running, its executor is
        to be started now that it is committed.

    Raises:
        RequestRefused: a rule forbids it. Nothing has changed.
    """
    with store.write() as session:
        if known := _known(session, sender):
            return known
        begun = _begin(session, settings, order, sender, queue=queue)
    _log_begun(begun)
    return begun


def retry(
    store: Store, settings: Settings, label: str, sender: Sender, *, failed_only: bool, queue: bool = False
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
        results = jobs.node_results(session, first.id)
        targets = list(results)
        if failed_only:
            if first.status is JobStatus.COMPLETE:
                raise Conflict(f"no node failed in job {first.id}")
            targets = [name for name, result in results.items() if result is not Result.PASS]
        order = Order(
            first.action,
            targets,
            host_group=first.host_group,
            extra_vars=jobs.open_vars(first, settings.seal),
            check=first.check,
            limit_batch=first.limit_batch,
            job_timeout=first.job_timeout,
            idle_timeout=first.idle_timeout,
            retry_of=first.id,
        )
        begun = _begin(session, settings, order, sender, queue=queue)
    _log_begun(begun)
    return begun


def judge(session: Session, settings: Settings, order: Order, *, queue: bool) -> Judgement:
    """Decide which nodes an order means, and find everything that forbids it. Nothing changes.

    The rules of the lifecycle are left for the moment at which a job that waits gets its turn.
    """
    groups = settings.ansible.host_groups
    candidates = nodes.candidates(session)
    names, found = _find_targets(session, order, candidates)
    host_group = "" if order.action in {Action.DECOMMISSION, Action.DISCOVER} else order.host_group
    blocking = _blocking_job(session, names, settings.manager.max_active_jobs)
    objections = [Objection(Drained(_DRAINED))] if kept.get(session, kept.DRAIN) else []
    objections += found
    objections += _check_group(order.action, host_group, groups)
    objections += _check_secrets(session, settings, names)
    if blocking and not queue:
        held = set(names).intersection(jobs.node_names(session, blocking.id))
        objections.append(Objection(ActiveJob(jobs.refer(session, blocking)), sorted(held)))
    if not (blocking and queue):
        objections += _apply_rules(order.action, names, host_group, candidates, groups)
    return Judgement(names, host_group, objections, blocking if queue else None)


def begin_queued(store: Store, settings: Settings) -> None:
    """Let queued jobs run for which there is room, the oldest first.

    One whose nodes are in another job goes on waiting, and so do younger ones that want the same nodes. One that a
    rule forbids by now ends.
    """
    with store.read() as session:
        if not jobs.queued(session):
            return
    changed = []
    with store.write() as session:
        if kept.get(session, kept.DRAIN):
            return
        room = settings.manager.max_active_jobs - len(jobs.running(session))
        taken = jobs.held_nodes(session)
        for job in jobs.queued(session):
            names = jobs.node_names(session, job.id)
            if room > 0 and taken.isdisjoint(names):
                if objections := _judge_queued(session, job, names, settings):
                    reason = f"not started when its turn came: {objections[0].refusal}"
                    _end(session, settings.retention, job, JobStatus.ERRORED, reason, Outcomes(reached=set(names)))
                    changed.append(jobs.to_wire(session, job))
                    continue
                _start(session, job, names)
                changed.append(jobs.to_wire(session, job))
                room -= 1
            taken.update(names)
    for each in changed:
        if each.status is JobStatus.RUNNING:
            _about(each).info("its turn has come: started", extra={"status": each.status})
        else:
            _log_end(each)


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
        stopped = jobs.to_wire(session, job)
    _about(stopped).info("to be stopped: %s", reason, extra={"reason": reason})
    if stopped.status is JobStatus.CANCELLED:
        _log_end(stopped)
    return stopped


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
    digest = selection.digest(store, job_id)  # a large log takes a while, in which others may write
    with store.write() as session:
        job = jobs.get(session, job_id)
        if jobs.has_ended(job):
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
        changes = {} if is_discover or job.check else _leave(session, job, found)
        if error is not None and found.batch is not None:
            error = f"in batch {found.batch}: {error}"
        targets = {name: None if is_discover else name for name in jobs.node_names(session, job_id)}
        targets |= {address: one.node for address, one in registered.items()}
        host_keys.learn(session, job, learned or {}, targets)
        _end(session, retention, job, status, error, found, changes, registered)
        ended = jobs.to_wire(session, job)
    _log_end(ended)


def drain(store: Store, *, drained: bool) -> schemas.Drain:
    """Refuse new jobs, and hold queued ones back, until told otherwise; also after a restart."""
    with store.write() as session:
        kept.put(session, kept.DRAIN, {"since": schemas.format_time(datetime.now(UTC))} if drained else {})
        answer = schemas.Drain(drained=drained, running=[job.id for job in jobs.running(session)])
    log.info("no new jobs are taken" if drained else "new jobs are taken again")
    return answer


def obstacle(session: Session, names: Sequence[str], *, max_active: int) -> str | None:
    """Say why no job at all on some nodes would be begun now; None if one would."""
    if kept.get(session, kept.DRAIN):
        return _DRAINED
    blocking = _blocking_job(session, names, max_active)
    return f"{ActiveJob(jobs.refer(session, blocking))}; with --queue it waits for its turn" if blocking else None


def members(candidates: Iterable[Candidate]) -> dict[str, Member]:
    """Return what the rules need to know of nodes, by name."""
    return {node.name: Member(node.name, node.status, node.state, node.host_group) for node in candidates}


def boot_id() -> str:
    """Return the id of the machine's present boot (Linux, random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _begin(session: Session, settings: Settings, order: Order, sender: Sender, *, queue: bool) -> schemas.Job:
    judgement = judge(session, settings, order, queue=queue)
    for objection in judgement.objections:
        raise objection.refusal
    own_vars = settings.seal.close(order.extra_vars)
    job = tables.Job(
        action=order.action,
        status=JobStatus.QUEUED,
        host_group=judgement.host_group,
        extra_vars=own_vars.shown,
        sealed=own_vars.sealed,
        requested_by=sender.name,
        created_at=datetime.now(UTC),
        retry_of=order.retry_of,
        check=order.check,
        limit_batch=order.limit_batch,
        job_timeout=order.job_timeout,
        idle_timeout=order.idle_timeout,
        partial_success=settings.manager.partial_success,
    )
    session.add(job)
    session.flush()
    jobs.add_nodes(session, job.id, judgement.names)
    if judgement.waits_for is None:
        _start(session, job, judgement.names)
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


def _judge_queued(session: Session, job: tables.Job, names: Sequence[str], settings: Settings) -> list[Objection]:
    """Return what forbids a job whose turn has come."""
    groups = settings.ansible.host_groups
    candidates = nodes.candidates(session)
    found, objections = _find_targets(session, Order(job.action, names), candidates)
    return [
        *objections,
        *_check_group(job.action, job.host_group, groups),
        *_check_secrets(session, settings, names, job),
        *_apply_rules(job.action, found, job.host_group, candidates, groups),
    ]


def _find_targets(session: Session, order: Order, candidates: Sequence[Candidate]) -> tuple[list[str], list[Objection]]:
    """Return the names of the nodes, or for discover the addresses, each once, and what is wrong with them."""
    if order.action is not Action.DISCOVER:
        selected = select(order.targets, order.select, candidates)
        return selected.names, [Objection(refusal) for refusal in selected.refusals]
    if not order.targets:
        return [], [Objection(BadRequest("atleast one node should be specified"))]
    if existing := nodes.at_addresses(session, order.targets):
        listed = " ".join(f"{node.name}:{node.address}" for node in existing)
        refusal = Conflict(
            f"one or more nodes already exist with the specified management addresses. Existing nodes: [{listed}]"
        )
        return list(order.targets), [Objection(refusal, [node.name for node in existing])]
    return list(order.targets), []


def _check_group(action: Action, host_group: str, groups: HostGroups) -> Iterator[Objection]:
    try:
        lifecycle.check_host_group(action, host_group, groups)
    except BadRequest as refusal:
        yield Objection(refusal)


def _check_secrets(
    session: Session, settings: Settings, names: Sequence[str], job: tables.Job | None = None
) -> Iterator[Objection]:
    """Check that what a job is to be told, one that waits also by its own request, can be decrypted."""
    try:
        if job:
            jobs.open_vars(job, settings.seal)
        sealed.check_readable(session, settings.seal, names)
    except SecretsLost as lost:
        yield Objection(lost)


def _apply_rules(
    action: Action, names: Sequence[str], host_group: str, candidates: Sequence[Candidate], groups: HostGroups
) -> Iterator[Objection]:
    if action is Action.DISCOVER or not names:
        return iter(())
    cluster = members(candidates)
    return lifecycle.objections(action, [cluster[name] for name in names], host_group, cluster, groups)


def _blocking_job(session: Session, names: Sequence[str], max_active: int) -> tables.Job | None:
    """Return a job because of which one on these nodes cannot run now. Those that wait for their turn come first."""
    ahead = [*jobs.running(session), *jobs.queued(session)]
    if len(ahead) >= max_active:
        return ahead[0]
    return next((job for job in ahead if not set(names).isdisjoint(jobs.node_names(session, job.id))), None)


def _start(session: Session, job: tables.Job, names: Sequence[str]) -> None:
    """Let a job run that no rule forbids, and take its nodes into the status that they have meanwhile."""
    job.status = JobStatus.RUNNING
    job.started_at = datetime.now(UTC)
    job.started_clock = time.monotonic()
    job.boot_id = boot_id()
    jobs.hold_nodes(session, job.id)
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
        jobs.note_former_host_groups(session, job.id, former)
    events.append(session, happened)


def _leave(session: Session, job: tables.Job, found: Outcomes) -> dict[str, Changes]:
    """Take the nodes of a job that ends out of the status that they had meanwhile; those not reached, back.

    Returns:
        What changed in each.
    """
    former = jobs.former_host_groups(session, job.id)
    changes = {}
    for node in nodes.named(session, jobs.node_names(session, job.id)):
        if node.name in found.reached:
            status = lifecycle.status_after(job.action, passed=node.name in found.counted)
            changes[node.name] = _set_status(node, status)
            continue
        changes[node.name] = _set_status(node, node.prev_status)
        if node.name in former:
            changes[node.name]["host_group"] = [node.host_group, former[node.name]]
            node.host_group = former[node.name]
    return changes


def _end(
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
    names = jobs.node_names(session, job.id)
    failed = len(found.reached) - len(found.passed)
    if job.partial_success and found.passed and failed:
        error = f"{failed} of {len(names)} nodes failed: {error}"
    _close(session, job, status, error)
    jobs.note_results(session, job.id, found.passed, found.reached)
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
        happened.append(_event(job, fate.node, fate.event, result=fate.result, detail=detail, changes=fate.changes))
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
        event, detail = _EVENT_OF[job.action], reasons.get(name, error)
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


def _event(
    job: tables.Job,
    node: str | None,
    event: EventName,
    *,
    changes: Changes,
    result: Result | None = None,
    detail: str | None = None,
) -> tables.Event:
    return tables.Event(
        at=datetime.now(UTC),
        node=node,
        event=event,
        result=result,
        job_id=job.id,
        detail=detail,
        cause=Cause.JOB,
        by=job.requested_by,
        changes=changes,
    )


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
    job.sha256 = job.sha256 or selection.NOTHING.sha256  # a job that never ran has no log
    for step in jobs.steps(session, job.id):
        if step.finished_at is None:  # it was interrupted
            step.finished_at, step.error = job.finished_at, error
    jobs.release_nodes(session, job.id)
    totals.count(session, job)
    notifications.note_job_end(session, job)


def _set_status(node: tables.Node, status: Status) -> Changes:
    node.prev_status, node.status = node.status, status
    return {"status": [node.prev_status, status]}


def _about(job: schemas.Job) -> JobLog:
    return JobLog(log, job.id, job.action, job.nodes)


def _log_begun(job: schemas.Job) -> None:
    what = "queued" if job.status is JobStatus.QUEUED else "started"
    again = f", as job {job.retry_of} once more" if job.retry_of else ""
    about = {"status": job.status, "requested_by": job.requested_by}
    _about(job).info("accepted from %s and %s%s", job.requested_by, what, again, extra=about)


def _log_end(job: schemas.Job) -> None:
    seconds = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0.0
    level = logging.INFO if job.status is JobStatus.COMPLETE else logging.WARNING
    how = f"{job.status}: {job.error}" if job.error else job.status
    about = {"status": job.status, "seconds": seconds, "error": job.error or None}
    _about(job).log(level, "ended after %.1f s, %s", seconds, how, extra=about)
