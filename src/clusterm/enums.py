"""The names of statuses, states, actions and events; standard library only."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

MASTER_GROUP: Final = "service-master"
WORKER_GROUP: Final = "service-worker"
HOST_GROUPS: Final = (MASTER_GROUP, WORKER_GROUP)
"""The default host groups."""
DISCOVER_GROUP: Final = "cluster-node"
"""The inventory group of the addresses of a discover job, which have no host group yet."""


class Role(StrEnum):
    """The role of a host group in the lifecycle rules."""

    MASTER = "master"  # workers need at least one node of this role
    WORKER = "worker"  # needs a commissioned master


HostGroups = Mapping[str, Role]
"""Roles of a site's host groups, by name."""

DEFAULT_HOST_GROUPS: Final[HostGroups] = {MASTER_GROUP: Role.MASTER, WORKER_GROUP: Role.WORKER}


class Status(StrEnum):
    """The state of a node in its lifecycle."""

    UNALLOCATED = "Unallocated"  # registered, not part of the cluster
    PROVISIONING = "Provisioning"  # a commission is running on it
    ALLOCATED = "Allocated"  # commissioned: part of the cluster
    MAINTENANCE = "Maintenance"  # an update is running on it
    CANCELLED = "Cancelled"  # a decommission is running on it (contiv's name)
    DECOMMISSIONED = "Decommissioned"  # removed from the cluster


class State(StrEnum):
    """The reachability of a node, as last reported by monitoring."""

    UNKNOWN = "Unknown"  # not reported yet
    DISCOVERED = "Discovered"  # reachable
    DISAPPEARED = "Disappeared"  # no longer reachable


class Action(StrEnum):
    """The built-in actions: what a job runs on its nodes. The site may configure others."""

    COMMISSION = "commission"
    DECOMMISSION = "decommission"
    UPDATE = "update"
    DISCOVER = "discover"


class JobStatus(StrEnum):
    """The status of a job."""

    QUEUED = "Queued"  # accepted, waiting for other jobs to end
    RUNNING = "Running"  # holds its nodes; an executor runs it
    COMPLETE = "Complete"  # ended; every required step succeeded
    ERRORED = "Errored"  # ended; `error` has the reason
    CANCELLED = "Cancelled"  # ended on request


ENDED: Final = frozenset({JobStatus.COMPLETE, JobStatus.ERRORED, JobStatus.CANCELLED})


class StepName(StrEnum):
    """The purpose of a playbook run of the built-in actions."""

    CONFIGURE = "configure"
    CLEANUP = "cleanup"


class CheckUse(StrEnum):
    """Whether an action may run in check mode."""

    ALLOWED = "allowed"  # if the request asks for it
    REFUSED = "refused"  # never
    ALWAYS = "always"  # also without being asked


class VarType(StrEnum):
    """The type of a var that an action declares."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"  # one of the declared values
    LIST = "list"
    OBJECT = "object"


class EventKind(StrEnum):
    """What an event is about. Each kind has a limit of its own, so that none displaces another."""

    NODES = "nodes"  # a node, and what a job has done to it
    JOBS = "jobs"  # a job
    ADMIN = "admin"  # the service and its settings


class EventName(StrEnum):
    """What happened."""

    # about nodes
    DISCOVERED = "discovered"  # a node was reported for the first time, came back or changed its address
    DISAPPEARED = "disappeared"  # a node became unreachable
    COMMISSIONING = "commissioning"  # a commission began
    COMMISSIONED = "commissioned"  # a commission ended
    DECOMMISSIONING = "decommissioning"  # a decommission began
    DECOMMISSIONED = "decommissioned"  # a decommission ended
    UPDATING = "updating"  # an update began
    UPDATED = "updated"  # an update ended
    ACTION_BEGAN = "action_began"  # an action of the site began
    ACTION_ENDED = "action_ended"  # an action of the site ended
    SKIPPED = "skipped"  # a job ended before its first step, or before the batch of the node, which is unchanged
    CHANGED = "changed"  # a user set the host group or host vars of a node
    RENAMED = "renamed"  # a user renamed a node
    REMOVED = "removed"  # a user removed a node
    KEY_TRUSTED = "key_trusted"  # a host key was trusted at its first use, or by a user
    KEY_FORGOTTEN = "key_forgotten"  # a user removed a trusted host key
    # about jobs
    QUEUED = "queued"  # a job was accepted, and waits for others
    STARTED = "started"  # a job was accepted and began, or a queued job began
    STOPPING = "stopping"  # a user cancelled a running job, or its time was over
    ENDED = "ended"  # a job ended
    REFUSED = "refused"  # a queued job violated a rule when its turn came
    # about the service
    SERVICE_STARTED = "service_started"
    SERVICE_STOPPED = "service_stopped"
    DRAINED = "drained"  # a user let the service refuse new jobs
    UNDRAINED = "undrained"  # a user let the service accept new jobs again
    CONFIGURED = "configured"  # settings changed: over REST, or in the configuration file
    GLOBALS_CHANGED = "globals_changed"  # a user set the globals
    TOKEN_CREATED = "token_created"
    TOKEN_REVOKED = "token_revoked"

    @property
    def kind(self) -> EventKind:
        """What an event of this name is about."""
        return _KINDS.get(self, EventKind.NODES)


BEGINNINGS: Final = frozenset(
    {EventName.COMMISSIONING, EventName.DECOMMISSIONING, EventName.UPDATING, EventName.ACTION_BEGAN}
)
"""Events in a node's history but not in the timeline, which shows only the end of a job."""


_KINDS: Final = {
    **dict.fromkeys(
        (EventName.QUEUED, EventName.STARTED, EventName.STOPPING, EventName.ENDED, EventName.REFUSED), EventKind.JOBS
    ),
    **dict.fromkeys(
        (
            EventName.SERVICE_STARTED,
            EventName.SERVICE_STOPPED,
            EventName.DRAINED,
            EventName.UNDRAINED,
            EventName.CONFIGURED,
            EventName.GLOBALS_CHANGED,
            EventName.TOKEN_CREATED,
            EventName.TOKEN_REVOKED,
        ),
        EventKind.ADMIN,
    ),
}
"""The kinds of the events that are not about nodes."""


class Cause(StrEnum):
    """The cause of an event."""

    JOB = "job"  # a job began or ended
    MONITOR = "monitor"  # a report of monitoring
    USER = "user"  # a user's request
    SERVICE = "service"  # the service started or stopped, or read its configuration


class Result(StrEnum):
    """The result of a job for a node, as an event states it."""

    PASS = "pass"
    FAIL = "fail"


class Outcome(StrEnum):
    """What a job did to one of its nodes."""

    PASSED = "passed"  # every step passed on it
    FAILED = "failed"  # a step failed on it, or was stopped
    UNDONE = "undone"  # every step passed on it, but the job failed, which without partial success fails all nodes
    SKIPPED = "skipped"  # the job ended before its first step
    NOT_REACHED = "not reached"  # the job ended before the batch of the node


class TaskStatus(StrEnum):
    """The result of a task on a node."""

    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    IGNORED = "ignored"  # failed or unreachable, and the playbook ignores that
    RESCUED = "rescued"  # failed, and handled by the playbook's rescue section
    CLEARED = "cleared"  # failed or unreachable, and cleared by the playbook with `meta: clear_host_errors`


FAILED_TASKS: Final = frozenset({TaskStatus.FAILED, TaskStatus.UNREACHABLE})
"""How a task ended on a node if it ends the play for the node, too."""


class HostKeyChecking(StrEnum):
    """The host keys that ssh accepts."""

    STRICT = "strict"  # only trusted keys
    ACCEPT_NEW = "accept-new"  # also the first key of a machine without a trusted key, which is then trusted
    OFF = "off"  # any key


class NotificationKind(StrEnum):
    """The kind of a notification."""

    JOB_ENDED = "job_ended"  # a job ended, with any status
    JOB_FAILED = "job_failed"  # a job ended as Errored
    NODE_DISAPPEARED = "node_disappeared"  # nodes became unreachable
    NODE_RETURNED = "node_returned"  # disappeared nodes are reachable again


class WebhookTemplate(StrEnum):
    """The format of a webhook's messages."""

    JSON = "json"  # all data, for programs
    SLACK = "slack"  # a message for Slack and services compatible with its incoming webhooks


class LogFormat(StrEnum):
    """The format of the service's own log."""

    TEXT = "text"  # one line of text per record
    JSON = "json"  # one JSON object per line


class LogLevel(StrEnum):
    """The minimum severity of messages in the service's own log."""

    DEBUG = "debug"  # also rejected read requests
    INFO = "info"  # changes of jobs and nodes, with the requester
    WARNING = "warning"  # failed jobs, and conditions that need an operator
    ERROR = "error"  # failures of the service


class Auth(StrEnum):
    """The authentication mode."""

    TOKEN = "token"  # requests need a token with a sufficient role
    NONE = "none"  # no authentication; every client has full access


class TokenRole(StrEnum):
    """The permissions of a token. Each role includes those before it."""

    VIEWER = "viewer"  # read everything
    OPERATOR = "operator"  # run and cancel jobs, change nodes and globals, report nodes
    ADMIN = "admin"  # change the configuration, drain, list and revoke tokens


class TokenStatus(StrEnum):
    """The validity of a token."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
