"""The names of statuses, states, actions and events; standard library only."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

MASTER_GROUP: Final = "service-master"
WORKER_GROUP: Final = "service-worker"
HOST_GROUPS: Final = (MASTER_GROUP, WORKER_GROUP)
"""The host groups of a site that names no others."""
DISCOVER_GROUP: Final = "cluster-node"
"""The inventory group of addresses that are being discovered and so have no host group yet."""


class Role(StrEnum):
    """What the rules of the lifecycle take a host group for."""

    MASTER = "master"  # its nodes are what workers need
    WORKER = "worker"  # its nodes need a master


HostGroups = Mapping[str, Role]
"""A site's host groups."""

DEFAULT_HOST_GROUPS: Final[HostGroups] = {MASTER_GROUP: Role.MASTER, WORKER_GROUP: Role.WORKER}


class Status(StrEnum):
    """Where a node is in its lifecycle."""

    UNALLOCATED = "Unallocated"  # known, not part of the cluster
    PROVISIONING = "Provisioning"  # a commission is running on it
    ALLOCATED = "Allocated"  # commissioned: part of the cluster
    MAINTENANCE = "Maintenance"  # an update is running on it
    CANCELLED = "Cancelled"  # a decommission is running on it
    DECOMMISSIONED = "Decommissioned"  # taken out of the cluster


class State(StrEnum):
    """Whether a node can be reached, as far as monitoring knows."""

    UNKNOWN = "Unknown"  # before the first news of it
    DISCOVERED = "Discovered"  # reachable
    DISAPPEARED = "Disappeared"  # was reachable, no longer is


class Action(StrEnum):
    """What a job does to its nodes."""

    COMMISSION = "commission"
    DECOMMISSION = "decommission"
    UPDATE = "update"
    DISCOVER = "discover"


class JobStatus(StrEnum):
    """Where a job is between being accepted and having ended."""

    QUEUED = "Queued"  # accepted, waits for its turn
    RUNNING = "Running"  # holds its nodes; an executor is at work
    COMPLETE = "Complete"  # every step that had to succeed did
    ERRORED = "Errored"  # `error` says why
    CANCELLED = "Cancelled"  # ended on request


ENDED: Final = frozenset({JobStatus.COMPLETE, JobStatus.ERRORED, JobStatus.CANCELLED})


class StepName(StrEnum):
    """What one playbook run is for."""

    CONFIGURE = "configure"
    CLEANUP = "cleanup"


class EventName(StrEnum):
    """What an event says happened."""

    DISCOVERED = "discovered"  # a node was announced, came back or changed its address
    DISAPPEARED = "disappeared"  # a node cannot be reached any more
    COMMISSIONING = "commissioning"  # a commission began
    COMMISSIONED = "commissioned"  # a commission ended
    DECOMMISSIONING = "decommissioning"  # a decommission began
    DECOMMISSIONED = "decommissioned"  # a decommission ended
    UPDATING = "updating"  # an update began
    UPDATED = "updated"  # an update ended
    SKIPPED = "skipped"  # a job in batches ended before it came to the node, which is as it was
    CHANGED = "changed"  # somebody set its host group or host vars
    RENAMED = "renamed"  # somebody gave it another name
    REMOVED = "removed"  # somebody had it forgotten
    KEY_TRUSTED = "key_trusted"  # its host key was seen for the first time, or somebody named it
    KEY_FORGOTTEN = "key_forgotten"  # somebody had its host key forgotten


BEGINNINGS: Final = frozenset({EventName.COMMISSIONING, EventName.DECOMMISSIONING, EventName.UPDATING})
"""Events that a node's history has and the timeline leaves out: there, what a job ended with says enough."""


class Cause(StrEnum):
    """What made an event happen."""

    JOB = "job"  # a job began or ended
    MONITOR = "monitor"  # monitoring had news
    USER = "user"  # somebody asked for it


class Result(StrEnum):
    """How a job ended for a node."""

    PASS = "pass"
    FAIL = "fail"


class TaskStatus(StrEnum):
    """How a task ended on a node."""

    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    IGNORED = "ignored"  # it failed or was unreachable, and the playbook says to go on
    RESCUED = "rescued"  # it failed, and the playbook's rescue section took care of it


FAILED_TASKS: Final = frozenset({TaskStatus.FAILED, TaskStatus.UNREACHABLE})
"""How a task ended on a node if it ends the play for the node, too."""


class HostKeyChecking(StrEnum):
    """Which host keys ssh accepts."""

    STRICT = "strict"  # only those that are known
    ACCEPT_NEW = "accept-new"  # also that of a machine of which none is known, which is known from then on
    OFF = "off"  # any


class NotificationKind(StrEnum):
    """What webhooks are told of."""

    JOB_ENDED = "job_ended"  # a job ended, however it did
    JOB_FAILED = "job_failed"  # a job ended Errored
    NODE_DISAPPEARED = "node_disappeared"  # nodes cannot be reached any more
    NODE_RETURNED = "node_returned"  # nodes that had disappeared are back


class WebhookTemplate(StrEnum):
    """How a webhook wants to be told."""

    JSON = "json"  # everything, for programs
    SLACK = "slack"  # as a message for Slack, and what understands its incoming webhooks


class LogFormat(StrEnum):
    """How the service writes its own log."""

    TEXT = "text"  # for people
    JSON = "json"  # an object on each line


class LogLevel(StrEnum):
    """The least that is worth a line of the service's own log."""

    DEBUG = "debug"  # also reading requests that are refused
    INFO = "info"  # what happens to jobs and nodes, and who asked for it
    WARNING = "warning"  # jobs that failed, and what an operator should look at
    ERROR = "error"  # what the service could not do


class Auth(StrEnum):
    """Whom the service lets in."""

    TOKEN = "token"  # who has a token, and to what its role may do
    NONE = "none"  # everybody who can reach it, to everything


class TokenRole(StrEnum):
    """What the owner of a token may do: each role also what those before it may."""

    VIEWER = "viewer"  # read everything
    OPERATOR = "operator"  # run and cancel jobs, change nodes and globals, report nodes
    ADMIN = "admin"  # change the configuration, drain


class TokenStatus(StrEnum):
    """Whether a token lets anybody in."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
