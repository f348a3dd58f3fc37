"""The codes of problems: what a program can distinguish in an error response."""

from enum import StrEnum
from http import HTTPStatus
from typing import Final, Self

TYPE_PREFIX: Final = "urn:clusterm:problem:"
"""Begins the `type` of a problem; the code follows.

A URN names no host and no path, so it is the same at every address of a service and in every version. A relative URI
would change with the path below which a proxy serves the service.
"""


class ProblemCode(StrEnum):
    """A kind of problem, with the status of the response. A code is never used again for another problem."""

    status: HTTPStatus
    meaning: str

    def __new__(cls, code: str, status: HTTPStatus, meaning: str) -> Self:
        """Return a member whose value is the code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.meaning = meaning
        return member

    @property
    def type(self) -> str:
        """The `type` of RFC 9457."""
        return TYPE_PREFIX + self.value

    @property
    def summary(self) -> str:
        """The `title` of RFC 9457."""
        return self.value.replace("_", " ").capitalize()

    # Requests
    MALFORMED_REQUEST = "malformed_request", HTTPStatus.BAD_REQUEST, "The request is not HTTP, or its body is cut off."
    INVALID_JSON = "invalid_json", HTTPStatus.BAD_REQUEST, "The body is not JSON."
    INVALID_CURSOR = "invalid_cursor", HTTPStatus.BAD_REQUEST, "The cursor is not `next` of a page."
    ROUTE_NOT_FOUND = "route_not_found", HTTPStatus.NOT_FOUND, "The path is not one of the API."
    METHOD_NOT_ALLOWED = (
        "method_not_allowed", HTTPStatus.METHOD_NOT_ALLOWED,
        "The path has no such method; `Allow` lists its methods.",
    )  # fmt: skip
    REQUEST_TIMEOUT = "request_timeout", HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time."
    BODY_TOO_LARGE = "body_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body exceeds the limit."
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The `Content-Type` is not JSON.",
    )  # fmt: skip
    MISDIRECTED = (
        "misdirected", HTTPStatus.MISDIRECTED_REQUEST, "`Host` is not a name of the service (`manager.allowed_hosts`).",
    )  # fmt: skip
    INVALID_REQUEST = (
        "invalid_request", HTTPStatus.UNPROCESSABLE_ENTITY,
        "A parameter, or a member of the body, is missing, unknown or not valid.",
    )  # fmt: skip
    UNKNOWN_PARAMETER = (
        "unknown_parameter", HTTPStatus.UNPROCESSABLE_ENTITY, "The route has no query parameter of that name.",
    )  # fmt: skip
    HEAD_TOO_LARGE = (
        "head_too_large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The URL and the headers exceed the limit.",
    )  # fmt: skip

    # Access
    TOKEN_REQUIRED = "token_required", HTTPStatus.UNAUTHORIZED, "The request has no token."
    TOKEN_INVALID = "token_invalid", HTTPStatus.UNAUTHORIZED, "The token is unknown, expired or revoked."
    ROLE_INSUFFICIENT = "role_insufficient", HTTPStatus.FORBIDDEN, "The token's role does not permit the request."
    CROSS_ORIGIN = "cross_origin", HTTPStatus.FORBIDDEN, "A web page of another origin has sent the request."
    RATE_LIMITED = "rate_limited", HTTPStatus.TOO_MANY_REQUESTS, "The token exceeds its limit of requests."
    TOO_MANY_STREAMS = "too_many_streams", HTTPStatus.TOO_MANY_REQUESTS, "The token has too many streams open."
    INVALID_TOKEN_NAME = "invalid_token_name", HTTPStatus.BAD_REQUEST, "A token cannot have this name."
    INVALID_TOKEN_LIFETIME = "invalid_token_lifetime", HTTPStatus.BAD_REQUEST, "The text is not a lifetime of a token."
    TOKEN_NOT_FOUND = "token_not_found", HTTPStatus.NOT_FOUND, "No valid token has this name."
    TOKEN_EXISTS = "token_exists", HTTPStatus.CONFLICT, "A valid token has this name."

    # Nodes
    NO_NODES = "no_nodes", HTTPStatus.BAD_REQUEST, "The request names and selects no nodes or addresses."
    INVALID_SELECTION = (
        "invalid_selection", HTTPStatus.BAD_REQUEST,
        "The selection contradicts itself, or has too many names or globs.",
    )  # fmt: skip
    INVALID_NAME = "invalid_name", HTTPStatus.BAD_REQUEST, "A node cannot have this name."
    INVALID_ADDRESS = "invalid_address", HTTPStatus.BAD_REQUEST, "The text is neither an IP address nor a host name."
    INVALID_HOST_GROUP = (
        "invalid_host_group", HTTPStatus.BAD_REQUEST, "The host group is missing, or not in `ansible.host_groups`.",
    )  # fmt: skip
    INVALID_HOST_VARS = "invalid_host_vars", HTTPStatus.BAD_REQUEST, "The host vars of the node would not be valid."
    INVALID_MONITOR_EVENT = (
        "invalid_monitor_event", HTTPStatus.BAD_REQUEST, "Monitoring can report `discovered` and `disappeared` only.",
    )  # fmt: skip
    NODE_NOT_FOUND = "node_not_found", HTTPStatus.NOT_FOUND, "No node has the name or the address."
    NO_NODE_MATCHES = "no_node_matches", HTTPStatus.NOT_FOUND, "The glob or the selection matches no node."
    NODE_EXISTS = "node_exists", HTTPStatus.CONFLICT, "Another node has the name."
    ADDRESS_IN_USE = "address_in_use", HTTPStatus.CONFLICT, "Other nodes have the addresses."
    ADDRESS_AMBIGUOUS = "address_ambiguous", HTTPStatus.CONFLICT, "Several nodes have the address: give a name."
    HOST_GROUP_AMBIGUOUS = "host_group_ambiguous", HTTPStatus.CONFLICT, "The node is in several host groups."
    HOST_GROUP_NOT_CONFIGURED = (
        "host_group_not_configured", HTTPStatus.CONFLICT,
        "The present host group of a node is not in `ansible.host_groups`.",
    )  # fmt: skip
    HOST_VARS_ENCRYPTED = (
        "host_vars_encrypted", HTTPStatus.CONFLICT, "The host vars are encrypted, and can only be set as a whole.",
    )  # fmt: skip
    NODE_IN_JOB = "node_in_job", HTTPStatus.CONFLICT, "The node is in a queued or running job."
    NODE_IN_CLUSTER = "node_in_cluster", HTTPStatus.CONFLICT, "The node is part of the cluster."

    # Jobs
    INVALID_JOB = "invalid_job", HTTPStatus.BAD_REQUEST, "A job is named by `active`, `last` or its id."
    JOB_NOT_FOUND = "job_not_found", HTTPStatus.NOT_FOUND, "There is no such job."
    JOB_DELETED = (
        "job_deleted", HTTPStatus.GONE, "The job of the repeated request was deleted after it had ended.",
    )  # fmt: skip
    IDEMPOTENCY_KEY_REUSED = (
        "idempotency_key_reused", HTTPStatus.UNPROCESSABLE_ENTITY,
        "The `Idempotency-Key` belongs to a different request.",
    )  # fmt: skip
    VARIABLES_NOT_ALLOWED = (
        "variables_not_allowed", HTTPStatus.UNPROCESSABLE_ENTITY,
        "Requests may not set these variables (`ansible.request_vars_allowed`).",
    )  # fmt: skip
    STORED_VARIABLES_NOT_ALLOWED = (
        "stored_variables_not_allowed", HTTPStatus.CONFLICT,
        "Variables in the database are not allowed by `ansible.request_vars_allowed`.",
    )  # fmt: skip
    ACTIVE_JOB = "active_job", HTTPStatus.CONFLICT, "Another job has not ended; with `queue` the job waits for it."
    NODES_NOT_DISCOVERED = "nodes_not_discovered", HTTPStatus.CONFLICT, "Nodes are not in the state `Discovered`."
    TRANSITION_NOT_ALLOWED = "transition_not_allowed", HTTPStatus.CONFLICT, "A node's status forbids the action."
    MASTER_REQUIRED = "master_required", HTTPStatus.CONFLICT, "A worker needs a reachable master in the cluster."
    NO_MASTER_LEFT = "no_master_left", HTTPStatus.CONFLICT, "The update would leave no reachable master."
    ONLY_WORKERS_LEFT = "only_workers_left", HTTPStatus.CONFLICT, "The decommission would leave only workers."
    PLAYBOOK_UNUSABLE = "playbook_unusable", HTTPStatus.CONFLICT, "A playbook, or ansible itself, cannot be used."
    SECRETS_UNAVAILABLE = "secrets_unavailable", HTTPStatus.CONFLICT, "Secrets cannot be encrypted or decrypted."
    JOB_NOT_ENDED = "job_not_ended", HTTPStatus.CONFLICT, "The job has not ended."
    JOB_ENDED = "job_ended", HTTPStatus.CONFLICT, "The job has ended."
    ACTION_NOT_FOUND = "action_not_found", HTTPStatus.NOT_FOUND, "There is no such action."
    ACTION_GONE = "action_gone", HTTPStatus.CONFLICT, "The action of the job is not configured any more."
    INVALID_ACTION_VAR = (
        "invalid_action_var", HTTPStatus.UNPROCESSABLE_ENTITY, "A var is not declared, missing or not valid.",
    )  # fmt: skip
    CONFIRMATION_REQUIRED = (
        "confirmation_required", HTTPStatus.PRECONDITION_REQUIRED, "The number of nodes has to be confirmed.",
    )  # fmt: skip
    CONFIRMATION_DIFFERS = (
        "confirmation_differs", HTTPStatus.CONFLICT, "Another number of nodes was confirmed.",
    )  # fmt: skip
    CHECK_REFUSED = "check_refused", HTTPStatus.CONFLICT, "The action has no check mode."
    HOST_GROUP_NOT_ALLOWED = (
        "host_group_not_allowed", HTTPStatus.CONFLICT, "The action is not for nodes in this host group.",
    )  # fmt: skip
    MIN_MASTERS = "min_masters", HTTPStatus.CONFLICT, "Too few masters would stay in service."
    TOO_MANY_JOBS_OF_ACTION = (
        "too_many_jobs_of_action", HTTPStatus.CONFLICT, "No more jobs of the action may run at a time.",
    )  # fmt: skip
    NOTHING_TO_RETRY = "nothing_to_retry", HTTPStatus.CONFLICT, "The job has nothing left to do."

    # Configuration
    NO_CONFIGURATION = "no_configuration", HTTPStatus.BAD_REQUEST, "The body has no `config`."
    INVALID_CONFIGURATION = "invalid_configuration", HTTPStatus.BAD_REQUEST, "The configuration is not valid."
    SECTION_FIXED = "section_fixed", HTTPStatus.BAD_REQUEST, "Only the section `ansible` can be changed over REST."
    SETTING_FIXED = "setting_fixed", HTTPStatus.BAD_REQUEST, "The setting cannot be changed over REST."

    # The service
    INTERNAL_ERROR = "internal_error", HTTPStatus.INTERNAL_SERVER_ERROR, "A defect of clusterm: please report it."
    NOT_READY = "not_ready", HTTPStatus.SERVICE_UNAVAILABLE, "A check of `/readyz` that is needed has failed."
    DRAINED = "drained", HTTPStatus.SERVICE_UNAVAILABLE, "The service is drained, and takes no new jobs."
    TOO_MANY_CONNECTIONS = (
        "too_many_connections", HTTPStatus.SERVICE_UNAVAILABLE, "The service, or the client, has too many connections.",
    )  # fmt: skip
    ENCRYPTION_UNAVAILABLE = (
        "encryption_unavailable", HTTPStatus.SERVICE_UNAVAILABLE,
        "The change contains secrets, and the encryption key cannot be used.",
    )  # fmt: skip
    STORE_UNAVAILABLE = "store_unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "The database cannot be used: try again."
    STORE_REPLACED = "store_replaced", HTTPStatus.SERVICE_UNAVAILABLE, "The database's file was moved or replaced."
    STORE_DAMAGED = "store_damaged", HTTPStatus.SERVICE_UNAVAILABLE, "The database is damaged: restore a backup."
