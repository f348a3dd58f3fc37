"""What can be run from the dashboard: the fields of each form, and the request that a filled-in form makes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterm import schemas
from clusterm.common.action_vars import parse_text
from clusterm.common.actions import ActionSpec, HostGroupUse, VarSpec
from clusterm.enums import State, Status, VarType
from clusterm.errors import NotFound
from clusterm.jobs import admission
from clusterm.jobs.requests import JobRequest, Requester
from clusterm.problem_codes import ProblemCode
from clusterm.routes.dependencies import Services
from clusterm.settings import Settings
from clusterm.store import jobs as job_queries
from clusterm.store import nodes
from clusterm.store.nodes import Candidate
from clusterm.store.session import Session
from clusterm.web.forms import Field, Values, parse_vars, validate

_VARS: Final = Field(
    "extra_vars", "Extra vars", "area", hint="NAME=VALUE, one per line, or a JSON object", is_mono=True
)
_QUEUE: Final = Field("queue", "Queue: if other jobs keep it from running now, let it wait", "switch")
_VAR: Final = "var."
"""Beginning of the names of the fields for declared vars."""

_KINDS: Final = {VarType.CHOICE: "choice", VarType.BOOLEAN: "choice", VarType.LIST: "area", VarType.OBJECT: "area"}
_TIMEOUT: Final = Field("job_timeout", "Timeout in seconds", "number", hint="empty: as configured; 0: none")


@dataclass(frozen=True)
class ActionRun:
    """An action on nodes, or on addresses."""

    spec: ActionSpec

    @classmethod
    def of(cls, services: Services, name: str) -> "ActionRun":
        """Return the run of an action.

        Raises:
            NotFound: there is no such action.
        """
        return cls(services.live_settings.current.find_action(name))

    @property
    def path(self) -> str:
        """Path of the form."""
        return f"/ui/run/{self.spec.name}"

    @property
    def title(self) -> str:
        """Heading of the page."""
        return self.spec.summary

    @property
    def about(self) -> str:
        """Description of the action."""
        return self.spec.description

    def fields(self, settings: Settings) -> Iterator[Field]:
        """Yield the fields of the form."""
        if self.spec.on_nodes:
            yield Field("nodes", "Nodes", "area", hint="names, addresses, or globs as rack1-*", is_mono=True)
            yield Field("q", "Part of a name or address")
            yield Field("status", "Status", "choice", list(Status), none="any")
            yield Field("state", "State", "choice", list(State), none="any")
            yield Field("group", "In host group", "choice", list(settings.ansible.host_groups), none="any")
            yield Field("all", "All nodes", "switch")
        else:
            hint = "IP addresses, host names, ranges as 10.0.0.10-20, networks as 10.0.0.0/24"
            yield Field("addrs", "Addresses", "area", hint=hint, required=True, is_mono=True)
        if self.spec.host_group is not HostGroupUse.IGNORED:
            is_required = self.spec.host_group is HostGroupUse.REQUIRED
            label = "Join host group" if is_required else "Move to host group"
            yield Field("host_group", label, "choice", list(settings.ansible.host_groups), required=is_required)
        yield from map(_var_field, self.spec.vars)
        if self.spec.any_vars:
            yield _VARS
        if self.spec.on_nodes:
            own = ", ".join(map(str, self.spec.batch)) or "all at once"
            hint = f"numbers or percentages, as 1, 10%, 25%; empty: {own}"
            yield Field("limit_batch", "Nodes per batch", hint=hint)
            hint = f"a number, or a percentage as 2%; empty: {self.spec.max_failures or 0}"
            yield Field("max_failures", "Nodes that may fail before the job stops", hint=hint)
        yield _TIMEOUT
        yield _QUEUE
        if self.spec.on_nodes:
            yield Field("check", "Check mode: report what would change, and change nothing", "switch")

    def request(self, session: Session, settings: Settings, form: Values) -> tuple[JobRequest, bool]:  # noqa: ARG002 -- a Run
        """Return what a form requests, and whether the job may wait."""
        members = _members(form)
        members["extra_vars"] |= {
            var.name: parse_text(var, form[_VAR + var.name]) for var in self.spec.vars if form.get(_VAR + var.name)
        }
        if not self.spec.on_nodes:
            body = validate(schemas.DiscoverRequest, members | {"addrs": _words(form.get("addrs", ""))})
            terms = schemas.JobTerms.of(body)
            return JobRequest(self.spec.name, body.addrs, extra_vars=body.extra_vars, terms=terms), body.queue
        names = _words(form.get("nodes", ""))
        if text := form.get("q", "").strip():
            found = [node.name for node in nodes.candidates(session) if contains(node, text)]
            names = found if not names else [name for name in found if name in set(names)]
            if not names:
                raise NotFound("no node matches the text", ProblemCode.NO_NODE_MATCHES)
        wanted = {name: [form[field]] for name, field in _FILTERS.items() if form.get(field)}
        members |= {"nodes": names, "select": wanted | {"all": bool(form.get("all")) and not names}}
        members |= {"host_group": form.get("host_group", ""), "check": bool(form.get("check"))}
        nodes_body = validate(schemas.NodesRequest, members)
        request = JobRequest(
            self.spec.name,
            nodes_body.nodes,
            select=nodes_body.select,
            host_group=nodes_body.host_group,
            extra_vars=nodes_body.extra_vars,
            terms=schemas.JobTerms.of(nodes_body),
        )
        return request, nodes_body.queue

    def begin(self, services: Services, requester: Requester, form: Values, *, confirm: int) -> schemas.Job:
        """Start the job on the number of nodes that was confirmed."""
        settings = services.live_settings.current
        with services.store.read() as session:
            request, queue = self.request(session, settings, form)
        return admission.begin(services.store, settings, replace(request, confirm=confirm), requester, queue=queue)


@dataclass(frozen=True)
class RetryRun:
    """The retry of a job."""

    job: int
    spec: ActionSpec

    @classmethod
    def of(cls, services: Services, job: int) -> "RetryRun":
        """Return the retry of a job.

        Raises:
            NotFound: there is no such job, or its action is not configured any more.
        """
        with services.store.read() as session:
            action = job_queries.resolve(session, str(job)).action
        return cls(job, services.live_settings.current.find_action(action))

    @property
    def path(self) -> str:
        """Path of the form."""
        return f"/ui/jobs/{self.job}/retry"

    @property
    def title(self) -> str:
        """Heading of the page."""
        return f"Retry job {self.job}"

    @property
    def about(self) -> str:
        """Description of a retry."""
        return (
            "Bring its nodes where the job should have brought them, with the same action, vars and terms. Nodes that "
            "a commission has brought into the cluster are left out."
        )

    def fields(self, settings: Settings) -> Iterator[Field]:  # noqa: ARG002 -- a Run
        """Yield the fields of the form."""
        yield Field("failed_only", "Only the nodes that did not pass", "switch")
        yield Field("extra_vars", "Other extra vars", "area", hint=_VARS.hint, is_mono=True)
        yield _QUEUE

    def request(self, session: Session, settings: Settings, form: Values) -> tuple[JobRequest, bool]:
        """Return what a form requests, and whether the job may wait."""
        body = self._body(form)
        first = job_queries.resolve(session, str(self.job))
        return admission.retry_request(session, settings, first, body), body.queue

    def begin(self, services: Services, requester: Requester, form: Values, *, confirm: int) -> schemas.Job:  # noqa: ARG002 -- a Run
        """Start the job."""
        settings = services.live_settings.current
        return admission.retry(services.store, settings, str(self.job), requester, self._body(form))

    def _body(self, form: Values) -> schemas.RetryRequest:
        members = {"failed_only": bool(form.get("failed_only")), "queue": bool(form.get("queue"))}
        return validate(schemas.RetryRequest, members | {"extra_vars": parse_vars(form.get("extra_vars", ""))})


Run = ActionRun | RetryRun
"""What a form starts."""

_FILTERS: Final = {"status": "status", "state": "state", "host_group": "group"}
"""Members of a selection, and the fields for them."""


def _var_field(var: VarSpec) -> Field:
    """Return the field for a declared var."""
    choices = ["true", "false"] if var.type is VarType.BOOLEAN else [_as_text(choice) for choice in var.choices]
    default = f"default: {_as_text(var.default)}" if var.default is not None and not var.secret else ""
    form = {VarType.LIST: "values with commas between them, or JSON", VarType.OBJECT: "a JSON object"}.get(var.type, "")
    return Field(
        _VAR + var.name,
        var.name,
        "secret" if var.secret else _KINDS.get(var.type, "text"),
        choices,
        none="default" if default else "none",
        hint="; ".join(filter(None, (var.description, form, default))),
        required=var.required,
        is_mono=True,
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def contains(node: Candidate, text: str) -> bool:
    """Return whether a text is part of the name or the address of a node."""
    return text.lower() in node.name.lower() or text.lower() in node.address


def _members(form: Values) -> dict[str, Any]:
    """Return the members that all requests have, of the fields that are filled in."""
    terms = ("limit_batch", "max_failures", "job_timeout")
    given: dict[str, Any] = {name: form[name].strip() for name in terms if form.get(name, "").strip()}
    if "limit_batch" in given:
        sizes = _words(given["limit_batch"])
        given["limit_batch"] = sizes[0] if len(sizes) == 1 else sizes
    return given | {"extra_vars": parse_vars(form.get("extra_vars", "")), "queue": bool(form.get("queue"))}


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]
