"""Admission of jobs: every rule is checked before anything changes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlmodel import Session

from clusterm import schemas
from clusterm.enums import Action, HostGroups, JobStatus, Result
from clusterm.errors import ActiveJob, BadRequest, Conflict, Drained, KeyReused, SecretsLost
from clusterm.jobs.events import _log_begun
from clusterm.jobs.requests import Order, Sender
from clusterm.jobs.start import _start
from clusterm.nodes import lifecycle
from clusterm.nodes.lifecycle import Member, Objection
from clusterm.nodes.selection import select
from clusterm.settings import Settings
from clusterm.store import encrypted_values, idempotency_keys, job_views, nodes, runtime_values, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.nodes import Candidate

_DRAINED: Final = "no new jobs are taken: the service is drained. Try again later, or end it with: clusterm undrain"


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
        first = job_queries.labelled(session, label)
        if not job_queries.has_ended(first):
            raise Conflict(f"job {first.id} has not ended: wait for it, or cancel it, before it is tried again")
        results = job_queries.node_results(session, first.id)
        targets = list(results)
        if failed_only:
            if first.status is JobStatus.COMPLETE:
                raise Conflict(f"no node failed in job {first.id}")
            targets = [name for name, result in results.items() if result is not Result.PASS]
        order = Order(
            first.action,
            targets,
            host_group=first.host_group,
            extra_vars=job_queries.open_vars(first, settings.seal),
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
    objections = [Objection(Drained(_DRAINED))] if runtime_values.get(session, runtime_values.DRAIN) else []
    objections += found
    objections += _check_group(order.action, host_group, groups)
    objections += _check_secrets(session, settings, names)
    if blocking and not queue:
        held = set(names).intersection(job_queries.node_names(session, blocking.id))
        objections.append(Objection(ActiveJob(job_views.refer(session, blocking)), sorted(held)))
    if not (blocking and queue):
        objections += _apply_rules(order.action, names, host_group, candidates, groups)
    return Judgement(names, host_group, objections, blocking if queue else None)


def obstacle(session: Session, names: Sequence[str], *, max_active: int) -> str | None:
    """Say why no job at all on some nodes would be begun now; None if one would."""
    if runtime_values.get(session, runtime_values.DRAIN):
        return _DRAINED
    blocking = _blocking_job(session, names, max_active)
    return f"{ActiveJob(job_views.refer(session, blocking))}; with --queue it waits for its turn" if blocking else None


def members(candidates: Iterable[Candidate]) -> dict[str, Member]:
    """Return what the rules need to know of nodes, by name."""
    return {node.name: Member(node.name, node.status, node.state, node.host_group) for node in candidates}


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
    job_queries.add_nodes(session, job.id, judgement.names)
    if judgement.waits_for is None:
        _start(session, job, judgement.names)
    if sender.key is not None:
        idempotency_keys.remember(session, sender.key, sender.digest, job.id)
    session.flush()
    return job_views.to_wire(session, job)


def _known(session: Session, sender: Sender) -> schemas.Job | None:
    """Return the job that the same request began before, if it has come before."""
    found = idempotency_keys.get(session, sender.key) if sender.key is not None else None
    if found is None:
        return None
    if found.request != sender.digest:
        raise KeyReused("the Idempotency-Key was used for another request: use a new one for each request")
    return job_views.to_wire(session, job_queries.get(session, found.job_id))


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
            job_queries.open_vars(job, settings.seal)
        encrypted_values.check_readable(session, settings.seal, names)
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
    ahead = [*job_queries.running(session), *job_queries.queued(session)]
    if len(ahead) >= max_active:
        return ahead[0]
    return next((job for job in ahead if not set(names).isdisjoint(job_queries.node_names(session, job.id))), None)
