"""Admission of jobs: every rule is checked before anything changes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from clusterm import schemas
from clusterm.ansible.inventory import merge_vars
from clusterm.ansible.job_spec import trial
from clusterm.common import batches
from clusterm.common.action_vars import VarProblem, complete_vars
from clusterm.common.actions import ActionSpec, HostGroupUse
from clusterm.common.addresses import ssh_port
from clusterm.common.elapsed import boot_id
from clusterm.common.trace_context import new_span_id, new_trace_id
from clusterm.enums import Action, CheckUse, HostGroups, JobStatus, Outcome, TokenRole
from clusterm.errors import (
    ActionVarRefused,
    ActiveJob,
    BadRequest,
    Conflict,
    Drained,
    Forbidden,
    IdempotencyKeyReused,
    JobDeleted,
    NotConfirmed,
    NotFound,
    SecretsUnavailable,
    VariablesRefused,
)
from clusterm.jobs.events import accepted_event, log_begun
from clusterm.jobs.requests import JobRequest, Requester
from clusterm.jobs.start import start_job
from clusterm.nodes import lifecycle
from clusterm.nodes.changes import address_conflict
from clusterm.nodes.lifecycle import RuleViolation
from clusterm.nodes.selection import select
from clusterm.problem_codes import ProblemCode
from clusterm.schemas.request_vars import check_request_vars
from clusterm.store import (
    definitions,
    encrypted_values,
    events,
    idempotency_keys,
    job_records,
    job_views,
    nodes,
    runtime_values,
    tables,
)
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.job_records import JobRecord
from clusterm.store.nodes import Candidate
from clusterm.store.session import Session

if TYPE_CHECKING:
    from clusterm.settings import Settings

_UNUSABLE: Final = ProblemCode.PLAYBOOK_UNUSABLE
_DRAINED: Final = "no new jobs are taken: the service is drained. Try again later, or end it with: clusterm undrain"


@dataclass(frozen=True)
class AdmissionDecision:
    """Whether a request would be accepted now."""

    spec: ActionSpec
    """The action."""
    names: list[str]
    """Names of the selected nodes; for discover, the addresses."""
    host_group: str
    """The host group that the nodes join; empty if they stay in theirs."""
    extra_vars: dict[str, Any]
    """The extra vars of the request, with the defaults of the action."""
    violations: list[RuleViolation]
    """The rules that it violates; the response names the first one."""
    waits_for: JobRecord | None
    """The job that has to end before it can run."""


def begin(
    store: Store, settings: Settings, request: JobRequest, requester: Requester, *, queue: bool = False
) -> schemas.Job:
    """Accept a job: check every rule, then store the job and the changes of its nodes.

    Args:
        store: the store.
        settings: the current configuration.
        request: the job.
        requester: the sender of the request.
        queue: whether the job may wait until other jobs have ended.

    Returns:
        The job, running or queued; the earlier job if the request is a repetition. If the job is running, the caller
        has to start its executor now that the job is committed.

    Raises:
        RequestRefused: a rule forbids it. Nothing has changed.
    """
    # Outside of the transaction: the playbooks may be on a network file system that does not answer.
    request = complete(settings, request)
    unfit = trial(settings, settings.find_action(request.action), check=request.terms.check).problems()
    with store.write() as session:
        if known := known_job(session, requester):
            return known
        begun = _begin(session, settings, request, requester, unfit, queue=queue)
    log_begun(begun)
    return begun


def retry(
    store: Store, settings: Settings, label: str, requester: Requester, body: schemas.RetryRequest
) -> schemas.Job:
    """Start a job that brings nodes where an ended job should have brought them, whatever its failure left them as.

    Nodes that are in the cluster already are left out of the retry of a commission.

    Args:
        store: the store.
        settings: the current configuration.
        label: `last` or the id of the ended job.
        requester: the sender of the request.
        body: on which nodes, and with which other vars.

    Raises:
        RequestRefused: there is no such job, it has not ended, nothing is left to do, or a rule forbids it.
    """
    with store.read() as session:
        first = job_queries.resolve(session, label)
    spec = _action_of(settings, first)
    unfit = trial(settings, spec, check=first.check).problems()
    with store.write() as session:
        if known := known_job(session, requester):
            return known
        request = retry_request(session, settings, job_queries.get(session, first.id), body)
        begun = _begin(session, settings, request, requester, unfit, queue=body.queue)
    log_begun(begun)
    return begun


def retry_request(session: Session, settings: Settings, first: tables.Job, body: schemas.RetryRequest) -> JobRequest:
    """Return the request for the job that retries an ended job.

    Args:
        session: any transaction.
        settings: the current configuration.
        first: the ended job.
        body: on which nodes, and with which other vars.

    Raises:
        Conflict: it has not ended, or nothing is left to do.
        SecretsUnavailable: its vars cannot be decrypted.
    """
    if not job_queries.has_ended(first):
        raise Conflict(
            f"job {first.id} has not ended: wait for it, or cancel it, before it is tried again",
            ProblemCode.JOB_NOT_ENDED,
        )
    _action_of(settings, first)
    return JobRequest(
        first.action,
        _left_to_do(session, first, failed_only=body.failed_only),
        host_group=first.host_group,
        extra_vars=job_queries.decrypt_vars(first, settings.cipher) | body.extra_vars,
        terms=schemas.JobTerms.of(first),
        retry_of=first.id,
    )


def _action_of(settings: Settings, first: tables.Job) -> ActionSpec:
    """Return the present definition of the action of a job that is tried again.

    Raises:
        Conflict: there is none any more.
    """
    try:
        return settings.find_action(first.action)
    except NotFound:
        raise Conflict(
            f"the action {first.action} is not configured any more; job {first.id} cannot be tried again",
            ProblemCode.ACTION_GONE,
        ) from None


def complete(settings: Settings, request: JobRequest) -> JobRequest:
    """Return a request with the terms of its action where it gives none.

    Raises:
        NotFound: there is no such action.
    """
    spec = settings.find_action(request.action)
    given = request.terms
    terms = given.model_copy(
        update={
            "check": given.check or spec.check is CheckUse.ALWAYS,
            "limit_batch": (list(spec.batch) or None) if given.limit_batch is None else given.limit_batch,
            "max_failures": spec.max_failures if given.max_failures is None else given.max_failures,
            "job_timeout": spec.job_timeout if given.job_timeout is None else given.job_timeout,
            "idle_timeout": spec.idle_timeout if given.idle_timeout is None else given.idle_timeout,
        }
    )
    return replace(request, terms=terms)


def _left_to_do(session: Session, first: tables.Job, *, failed_only: bool) -> list[str]:
    """Return the nodes or addresses for the retry of a job.

    Raises:
        Conflict: there are none.
    """
    record = job_records.load(session, first)
    left = [node.node for node in record.nodes if not (failed_only and node.outcome is Outcome.PASSED)]
    cluster = {node.name: node for node in nodes.by_names(session, left)}
    left = lifecycle.left_to_retry(definitions.of_job(first), left, cluster, check=first.check)
    if not left:
        raise Conflict(
            f"nothing is left to do of job {first.id}: its nodes are where it should have brought them",
            ProblemCode.NOTHING_TO_RETRY,
        )
    return left


def evaluate(
    session: Session, settings: Settings, request: JobRequest, unfit: Mapping[str, str], *, queue: bool
) -> AdmissionDecision:
    """Select the nodes of a request, and find every rule that it violates. Nothing changes.

    The rules of the lifecycle are not checked for a job that has to wait: they are checked when its turn comes.

    Args:
        session: a transaction.
        settings: the current configuration.
        request: the job.
        unfit: the steps that cannot be run, and why.
        queue: whether the job may wait until other jobs have ended.

    Raises:
        VariablesRefused: the request has extra vars that requests may not set.
    """
    check_request_vars(request.extra_vars, settings.ansible.request_vars_allowed, "the request")
    spec = settings.find_action(request.action)
    extra_vars = _complete_vars(session, settings, spec, request.extra_vars)
    groups = settings.ansible.host_groups
    candidates = nodes.candidates(session)
    names, found = _find_targets(session, request, candidates)
    host_group = "" if spec.host_group is HostGroupUse.IGNORED else request.host_group
    blocking = _blocking_job(session, names, settings.manager.max_active_jobs)
    peers = _peers(session, spec)
    violations = [RuleViolation(Drained(_DRAINED))] if runtime_values.get(session, runtime_values.DRAIN) else []
    violations += found
    if violation := lifecycle.host_group_violation(spec, host_group, groups):
        violations.append(violation)
    violations += _check_stored_vars(session, settings, names)
    if request.terms.check and spec.check is CheckUse.REFUSED:
        refusal = f'{spec.name} cannot be tried: its check is "refused"'
        violations.append(RuleViolation(Conflict(refusal, ProblemCode.CHECK_REFUSED)))
    if peers and not blocking and not queue:
        violations.append(RuleViolation(_too_many(spec, peers)))
    blocking = blocking or peers
    if blocking and not queue and blocking is not peers:
        shared = sorted(set(names).intersection(blocking.names))
        violations.append(RuleViolation(ActiveJob(job_views.refer(blocking)), shared))
    violations += [
        RuleViolation(Conflict(f"{spec.name} cannot run: {reason}" if spec.of_site else reason, _UNUSABLE))
        for reason in dict.fromkeys(unfit.values())
    ]
    if not (blocking and queue):
        retries = request.retry_of is not None
        violations += _apply_rules(spec, names, host_group, candidates, groups, retries=retries)
    try:
        names = _in_batches(spec, names, request.terms.limit_batch, candidates, groups)
    except Conflict as refusal:
        violations.append(RuleViolation(refusal))
    return AdmissionDecision(spec, names, host_group, extra_vars, violations, blocking if queue else None)


def _complete_vars(session: Session, settings: Settings, spec: ActionSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra vars of a request, with the defaults of its action.

    Raises:
        ActionVarRefused: a var is not declared, missing or not valid.
    """
    global_vars = runtime_values.get(session, runtime_values.GLOBALS)
    try:
        return complete_vars(spec, given, merge_vars(settings.ansible, global_vars, {}))
    except VarProblem as problem:
        raise ActionVarRefused(str(problem)) from None


def _peers(session: Session, spec: ActionSpec) -> JobRecord | None:
    """Return a job of an action of which no more may run now; None if one may."""
    if not spec.max_jobs:
        return None
    ahead = [*job_queries.running(session), *job_queries.queued(session)]
    peers = [job for job in ahead if job.action == spec.name]
    return job_records.load(session, peers[0]) if len(peers) >= spec.max_jobs else None


def _too_many(spec: ActionSpec, peer: JobRecord) -> Conflict:
    return Conflict(
        f"there are already {spec.max_jobs} {spec.name} jobs (max_jobs): job {peer.row.id}; with --queue it waits for "
        "its turn",
        ProblemCode.TOO_MANY_JOBS_OF_ACTION,
    )


def _check_confirmation(spec: ActionSpec, request: JobRequest, nodes: int) -> None:
    """Check that the sender has confirmed the number of nodes, if it has to be.

    Raises:
        NotConfirmed: it has not.
        Conflict: it has confirmed another number.
    """
    if request.confirm is None:
        needed = spec.confirm if isinstance(spec.confirm, bool) else nodes > spec.confirm
        if needed and request.retry_of is None:
            raise NotConfirmed(f'{spec.name} on {nodes} nodes has to be confirmed: send "confirm": {nodes}')
    elif request.confirm != nodes:
        raise Conflict(
            f"{request.confirm} nodes were confirmed, but the request means {nodes} now: look again with --dry-run",
            ProblemCode.CONFIRMATION_DIFFERS,
        )


def _check_role(spec: ActionSpec, requester: Requester) -> None:
    """Check that the sender's role permits an action.

    Raises:
        Forbidden: it does not.
    """
    if spec.role is TokenRole.ADMIN and requester.role not in {TokenRole.ADMIN, None}:
        raise Forbidden(f'to run "{spec.name}" the role {spec.role} is needed; this token\'s is {requester.role}')


def blocking_reason(session: Session, names: Sequence[str], *, max_active: int) -> str | None:
    """Return why the service would start no job on these nodes now; None if it would."""
    if runtime_values.get(session, runtime_values.DRAIN):
        return _DRAINED
    blocking = _blocking_job(session, names, max_active)
    return str(ActiveJob(job_views.refer(blocking))) if blocking else None


def _begin(
    session: Session,
    settings: Settings,
    request: JobRequest,
    requester: Requester,
    unfit: Mapping[str, str],
    *,
    queue: bool,
) -> schemas.Job:
    decision = evaluate(session, settings, request, unfit, queue=queue)
    spec = decision.spec
    _check_role(spec, requester)
    for violation in decision.violations:
        raise violation.refusal
    _check_confirmation(spec, request, len(decision.names))
    own_vars = settings.cipher.encrypt(decision.extra_vars)
    parent = requester.parent
    job = tables.Job(
        action=request.action,
        definition=definitions.dump(spec, settings.secret_names),
        status=JobStatus.QUEUED,
        host_group=decision.host_group,
        extra_vars=own_vars.masked,
        encrypted=own_vars.ciphertext,
        requested_by=requester.name,
        created_at=datetime.now(UTC),
        created_clock=time.monotonic(),
        boot_id=boot_id(),
        retry_of=request.retry_of,
        **dict(request.terms),
        partial_success=nodes_pass_alone(settings, spec, request.terms, len(decision.names)),
        trace_id=parent.trace_id if parent else new_trace_id(),
        span_id=new_span_id(),
        parent_span_id=parent.span_id if parent else None,
        sampled=parent.sampled if parent else True,
    )
    session.add(job)
    session.flush()
    job_queries.add_nodes(session, job.id, decision.names)
    if decision.waits_for is None:
        start_job(session, job, decision.names)
    else:
        events.append(session, [accepted_event(job, decision.names)])
    if requester.key is not None:
        idempotency_keys.remember(session, requester.key, requester.digest, job.id)
    session.flush()
    return job_views.to_wire(session, job)


def nodes_pass_alone(settings: Settings, spec: ActionSpec, terms: schemas.JobTerms, nodes: int) -> bool:
    """Return whether nodes of a job pass although others fail: forced on where failures are tolerated."""
    wanted = settings.manager.partial_success if spec.partial_success is None else spec.partial_success
    return wanted or batches.count(terms.max_failures, nodes) > 0


def known_job(session: Session, requester: Requester) -> schemas.Job | None:
    """Return the job that an earlier, identical request started or stopped; None for a new request.

    Raises:
        JobDeleted: the job was deleted since. The request must not be executed again.
        IdempotencyKeyReused: the earlier request was another one.
    """
    found = idempotency_keys.get(session, requester.key) if requester.key is not None else None
    if found is None and requester.key is not None:  # 0.1.0 stored keys without the name of the token
        found = idempotency_keys.get(session, requester.key.partition(":")[2])
    if found is None:
        return None
    if found.request != requester.digest:
        raise IdempotencyKeyReused("the Idempotency-Key was used for another request: use a new one for each request")
    job = job_queries.find(session, found.job_id)
    if job is None:
        raise JobDeleted(
            f"this request was executed at {schemas.format_time(found.at)} with the same Idempotency-Key: it was for "
            f"job {found.job_id}, which has ended and was deleted according to the retention settings"
        )
    return job_views.to_wire(session, job)


def evaluate_queued(session: Session, job: tables.Job, names: Sequence[str], settings: Settings) -> list[RuleViolation]:
    """Return the rules that a queued job violates when its turn has come."""
    groups = settings.ansible.host_groups
    spec = definitions.of_job(job)
    try:
        present = settings.find_action(job.action)
        _complete_vars(session, settings, present, job_queries.decrypt_vars(job, settings.cipher))
    except NotFound:
        gone = f"the action {job.action} is not configured any more"
        return [RuleViolation(Conflict(gone, ProblemCode.ACTION_GONE))]
    except (ActionVarRefused, SecretsUnavailable) as refusal:
        return [RuleViolation(refusal)]
    candidates = nodes.candidates(session)
    request = JobRequest(job.action, names, extra_vars=job.extra_vars)
    found, violations = _find_targets(session, request, candidates)
    if violation := lifecycle.host_group_violation(spec, job.host_group, groups):
        violations.append(violation)
    violations += _check_stored_vars(session, settings, names, job)
    retries = job.retry_of is not None
    violations += _apply_rules(spec, found, job.host_group, candidates, groups, retries=retries)
    try:  # masters may have left since the nodes were spread over the batches
        _in_batches(spec, found, job.limit_batch, candidates, groups)
    except Conflict as refusal:
        violations.append(RuleViolation(refusal))
    return violations


def _find_targets(
    session: Session, request: JobRequest, candidates: Sequence[Candidate]
) -> tuple[list[str], list[RuleViolation]]:
    """Return the names of the nodes, or for discover the addresses, each once, and the rules that they violate."""
    if request.action != Action.DISCOVER:
        selected = select(request.targets, request.select, candidates)
        return selected.names, [RuleViolation(refusal) for refusal in selected.refusals]
    if not request.targets:
        return [], [RuleViolation(BadRequest("give at least one address", ProblemCode.NO_NODES))]
    try:
        # Those of a retried or queued job may be older than their present form.
        addresses = list(dict.fromkeys(schemas.check_address(address) for address in request.targets))
    except ValueError as error:
        return list(request.targets), [RuleViolation(BadRequest(str(error), ProblemCode.INVALID_ADDRESS))]
    port = ssh_port(request.extra_vars)
    if existing := [node for node in nodes.at_addresses(session, addresses) if node.place.port == port]:
        refusal = address_conflict((node.name, node.place) for node in existing)
        return addresses, [RuleViolation(refusal, [node.name for node in existing])]
    return addresses, []


def _check_stored_vars(
    session: Session, settings: Settings, names: Sequence[str], job: tables.Job | None = None
) -> Iterator[RuleViolation]:
    """Check the stored variables of a job: globals, host vars and, for a queued job, its extra vars.

    They must be readable, and they must be allowed: an earlier version, or other settings, may have accepted them.
    """
    try:
        stored = [(f"job {job.id}", job_queries.decrypt_vars(job, settings.cipher))] if job else []
        stored += encrypted_values.decrypt_all(session, settings.cipher, names)
    except SecretsUnavailable as lost:
        yield RuleViolation(lost)
        return
    for whose, variables in stored:
        try:
            check_request_vars(variables, settings.ansible.request_vars_allowed, whose)
        except VariablesRefused as refused:
            yield RuleViolation(Conflict(str(refused), ProblemCode.STORED_VARIABLES_NOT_ALLOWED))


def _apply_rules(
    spec: ActionSpec,
    names: Sequence[str],
    host_group: str,
    candidates: Sequence[Candidate],
    groups: HostGroups,
    *,
    retries: bool,
) -> Iterator[RuleViolation]:
    if not spec.on_nodes or not names:
        return iter(())
    cluster = {node.name: node for node in candidates}
    return lifecycle.violations(spec, [cluster[name] for name in names], host_group, cluster, groups, retries=retries)


def _in_batches(
    spec: ActionSpec, names: list[str], limit: Any, candidates: Sequence[Candidate], groups: HostGroups
) -> list[str]:
    """Return the nodes of a job in an order in which each batch leaves enough masters in service.

    Raises:
        Conflict: there is no such order.
    """
    if not spec.min_masters:
        return names
    sizes = batches.sizes(limit, len(names))
    return list(lifecycle.spread_masters(spec, names, sizes, {each.name: each for each in candidates}, groups))


def _blocking_job(session: Session, names: Sequence[str], max_active: int) -> JobRecord | None:
    """Return a running or queued job for which a new job on these nodes would have to wait."""
    ahead = [*job_queries.running(session), *job_queries.queued(session)]
    if len(ahead) >= max_active:
        return job_records.load(session, ahead[0])
    records = (job_records.load(session, job) for job in ahead)
    return next((record for record in records if not set(names).isdisjoint(record.names)), None)
