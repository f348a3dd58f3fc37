"""Admission of jobs: every rule is checked before anything changes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from clusterm import schemas
from clusterm.enums import Action, HostGroups, JobStatus, Result
from clusterm.errors import ActiveJob, BadRequest, Conflict, Drained, IdempotencyKeyReused, SecretsUnavailable
from clusterm.jobs.events import log_begun
from clusterm.jobs.requests import JobRequest, Requester
from clusterm.jobs.start import start_job
from clusterm.nodes import lifecycle
from clusterm.nodes.changes import address_conflict
from clusterm.nodes.lifecycle import NodeFacts, RuleViolation
from clusterm.nodes.selection import select
from clusterm.settings import Settings
from clusterm.store import encrypted_values, idempotency_keys, job_views, nodes, runtime_values, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.nodes import Candidate
from clusterm.store.session import Session

_DRAINED: Final = "no new jobs are taken: the service is drained. Try again later, or end it with: clusterm undrain"


@dataclass(frozen=True)
class AdmissionDecision:
    """What would become of an order now."""

    names: list[str]
    """Of the nodes that it means; for discover, the addresses."""
    host_group: str
    """The group that it brings them into, empty for none."""
    violations: list[RuleViolation]
    """What forbids it, the one that is answered first."""
    waits_for: tables.Job | None
    """Because of which job it would wait for its turn."""


def begin(
    store: Store, settings: Settings, request: JobRequest, requester: Requester, *, queue: bool = False
) -> schemas.Job:
    """Accept a job: check every rule, then write the job and what it changes in its nodes.

    Args:
        store: the store.
        settings: the configuration as it is now.
        request: what to do.
        requester: who asks.
        queue: whether the job may wait for its turn.

    Returns:
        The job, running or queued; the first one where the request has come before. If it is running, its executor is
        to be started now that it is committed.

    Raises:
        RequestRefused: a rule forbids it. Nothing has changed.
    """
    with store.write() as session:
        if known := known_job(session, requester):
            return known
        begun = _begin(session, settings, request, requester, queue=queue)
    log_begun(begun)
    return begun


def retry(
    store: Store, settings: Settings, label: str, requester: Requester, *, failed_only: bool, queue: bool = False
) -> schemas.Job:
    """Begin a job that does the same as an ended one, on the same nodes or on those that failed.

    Raises:
        RequestRefused: there is no such job, it has not ended, nothing failed, or a rule forbids it.
    """
    with store.write() as session:
        if known := known_job(session, requester):
            return known
        first = job_queries.resolve(session, label)
        if not job_queries.has_ended(first):
            raise Conflict(f"job {first.id} has not ended: wait for it, or cancel it, before it is tried again")
        results = job_queries.node_results(session, first.id)
        targets = list(results)
        if failed_only:
            if first.status is JobStatus.COMPLETE:
                raise Conflict(f"no node failed in job {first.id}")
            targets = [name for name, result in results.items() if result is not Result.PASS]
        request = JobRequest(
            first.action,
            targets,
            host_group=first.host_group,
            extra_vars=job_queries.decrypt_vars(first, settings.cipher),
            check=first.check,
            limit_batch=first.limit_batch,
            job_timeout=first.job_timeout,
            idle_timeout=first.idle_timeout,
            retry_of=first.id,
        )
        begun = _begin(session, settings, request, requester, queue=queue)
    log_begun(begun)
    return begun


def evaluate(session: Session, settings: Settings, request: JobRequest, *, queue: bool) -> AdmissionDecision:
    """Decide which nodes an order means, and find everything that forbids it. Nothing changes.

    The rules of the lifecycle are left for the moment at which a job that waits gets its turn.
    """
    groups = settings.ansible.host_groups
    candidates = nodes.candidates(session)
    names, found = _find_targets(session, request, candidates)
    host_group = "" if request.action in {Action.DECOMMISSION, Action.DISCOVER} else request.host_group
    blocking = _blocking_job(session, names, settings.manager.max_active_jobs)
    violations = [RuleViolation(Drained(_DRAINED))] if runtime_values.get(session, runtime_values.DRAIN) else []
    violations += found
    violations += _check_group(request.action, host_group, groups)
    violations += _check_secrets(session, settings, names)
    if blocking and not queue:
        held = set(names).intersection(job_queries.node_names(session, blocking.id))
        violations.append(RuleViolation(ActiveJob(job_views.refer(session, blocking)), sorted(held)))
    if not (blocking and queue):
        violations += _apply_rules(request.action, names, host_group, candidates, groups)
    return AdmissionDecision(names, host_group, violations, blocking if queue else None)


def blocking_reason(session: Session, names: Sequence[str], *, max_active: int) -> str | None:
    """Say why no job at all on some nodes would be begun now; None if one would."""
    if runtime_values.get(session, runtime_values.DRAIN):
        return _DRAINED
    blocking = _blocking_job(session, names, max_active)
    return f"{ActiveJob(job_views.refer(session, blocking))}; with --queue it waits for its turn" if blocking else None


def members(candidates: Iterable[Candidate]) -> dict[str, NodeFacts]:
    """Return what the rules need to know of nodes, by name."""
    return {node.name: NodeFacts(node.name, node.status, node.state, node.host_group) for node in candidates}


def _begin(
    session: Session, settings: Settings, request: JobRequest, requester: Requester, *, queue: bool
) -> schemas.Job:
    decision = evaluate(session, settings, request, queue=queue)
    for violation in decision.violations:
        raise violation.refusal
    own_vars = settings.cipher.encrypt(request.extra_vars)
    job = tables.Job(
        action=request.action,
        status=JobStatus.QUEUED,
        host_group=decision.host_group,
        extra_vars=own_vars.masked,
        encrypted=own_vars.ciphertext,
        requested_by=requester.name,
        created_at=datetime.now(UTC),
        retry_of=request.retry_of,
        check=request.check,
        limit_batch=request.limit_batch,
        job_timeout=request.job_timeout,
        idle_timeout=request.idle_timeout,
        partial_success=settings.manager.partial_success,
    )
    session.add(job)
    session.flush()
    job_queries.add_nodes(session, job.id, decision.names)
    if decision.waits_for is None:
        start_job(session, job, decision.names)
    if requester.key is not None:
        idempotency_keys.remember(session, requester.key, requester.digest, job.id)
    session.flush()
    return job_views.to_wire(session, job)


def known_job(session: Session, requester: Requester) -> schemas.Job | None:
    """Return the job that the same request began before, if it has come before."""
    found = idempotency_keys.get(session, requester.key) if requester.key is not None else None
    if found is None:
        return None
    if found.request != requester.digest:
        raise IdempotencyKeyReused("the Idempotency-Key was used for another request: use a new one for each request")
    return job_views.to_wire(session, job_queries.get(session, found.job_id))


def evaluate_queued(session: Session, job: tables.Job, names: Sequence[str], settings: Settings) -> list[RuleViolation]:
    """Return what forbids a job whose turn has come."""
    groups = settings.ansible.host_groups
    candidates = nodes.candidates(session)
    found, violations = _find_targets(session, JobRequest(job.action, names), candidates)
    return [
        *violations,
        *_check_group(job.action, job.host_group, groups),
        *_check_secrets(session, settings, names, job),
        *_apply_rules(job.action, found, job.host_group, candidates, groups),
    ]


def _find_targets(
    session: Session, request: JobRequest, candidates: Sequence[Candidate]
) -> tuple[list[str], list[RuleViolation]]:
    """Return the names of the nodes, or for discover the addresses, each once, and what is wrong with them."""
    if request.action is not Action.DISCOVER:
        selected = select(request.targets, request.select, candidates)
        return selected.names, [RuleViolation(refusal) for refusal in selected.refusals]
    if not request.targets:
        return [], [RuleViolation(BadRequest("atleast one node should be specified"))]
    if existing := nodes.at_addresses(session, request.targets):
        refusal = address_conflict((node.name, node.address) for node in existing)
        return list(request.targets), [RuleViolation(refusal, [node.name for node in existing])]
    return list(request.targets), []


def _check_group(action: Action, host_group: str, groups: HostGroups) -> Iterator[RuleViolation]:
    try:
        lifecycle.check_host_group(action, host_group, groups)
    except BadRequest as refusal:
        yield RuleViolation(refusal)


def _check_secrets(
    session: Session, settings: Settings, names: Sequence[str], job: tables.Job | None = None
) -> Iterator[RuleViolation]:
    """Check that what a job is to be told, one that waits also by its own request, can be decrypted."""
    try:
        if job:
            job_queries.decrypt_vars(job, settings.cipher)
        encrypted_values.check_readable(session, settings.cipher, names)
    except SecretsUnavailable as lost:
        yield RuleViolation(lost)


def _apply_rules(
    action: Action, names: Sequence[str], host_group: str, candidates: Sequence[Candidate], groups: HostGroups
) -> Iterator[RuleViolation]:
    if action is Action.DISCOVER or not names:
        return iter(())
    cluster = members(candidates)
    return lifecycle.violations(action, [cluster[name] for name in names], host_group, cluster, groups)


def _blocking_job(session: Session, names: Sequence[str], max_active: int) -> tables.Job | None:
    """Return a job because of which one on these nodes cannot run now. Those that wait for their turn come first."""
    ahead = [*job_queries.running(session), *job_queries.queued(session)]
    if len(ahead) >= max_active:
        return ahead[0]
    return next((job for job in ahead if not set(names).isdisjoint(job_queries.node_names(session, job.id))), None)
