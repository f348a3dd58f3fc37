"""Requests and responses of the REST API, shared by service and client.

The shapes of Node and Job, the phrases of errors and the tolerance of requests follow contiv/cluster (2016), so that
its client and scripts keep working. Responses ignore unknown members, so that an older client can read a newer
service; requests reject unknown members, so that a misspelt member is not silently ignored.

A module of this package is loaded when the first of its names is used, because building the models takes longer than
most commands of clusterctl.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clusterm.common.timestamps import format_time

if TYPE_CHECKING:
    from clusterm.schemas.actions import ActionInfo, ActionList, ActionStepInfo, ActionVarInfo
    from clusterm.schemas.base import (
        Address,
        Choices,
        ExtraVars,
        FittedName,
        HostGroup,
        Page,
        Problem,
        Request,
        ResponseModel,
        Seconds,
        Timestamp,
        check_address,
        check_name,
    )
    from clusterm.schemas.config import ConfigRequest, Globals, GlobalsRequest
    from clusterm.schemas.events import Changes, Event
    from clusterm.schemas.jobs import (
        BusyNode,
        CancelRequest,
        DiscoverRequest,
        DurationChange,
        Failure,
        GridTask,
        Job,
        JobDiff,
        JobGrid,
        JobProgress,
        JobSummary,
        JobTerms,
        NodeSelection,
        NodesRequest,
        PlaybooksDiff,
        Provenance,
        Recap,
        ResultChange,
        RetryRequest,
        StartRequest,
        Step,
        Task,
        TaskResult,
        ValueChange,
        Wait,
    )
    from clusterm.schemas.logs import LogEnd, LogLine, LogMatches
    from clusterm.schemas.monitoring import MonitorAnswer, MonitoredNode, MonitorEvent, MonitorRequest, RejectedNode
    from clusterm.schemas.nodes import (
        ConfigurationState,
        Explanation,
        HostKey,
        HostKeysRequest,
        HostVars,
        ImportAnswer,
        ImportedNode,
        ImportOutcome,
        ImportRequest,
        InventoryState,
        KnownHostKeys,
        MonitoringState,
        Node,
        NodeCount,
        NodeHistory,
        NodeStates,
        RemoveRequest,
        RenameRequest,
        SetRequest,
        SuggestedCommand,
        check_host_vars,
        host_var_problems,
    )
    from clusterm.schemas.plans import Objection, Plan, PlannedStep
    from clusterm.schemas.service import (
        BackgroundTaskStatus,
        Drain,
        Health,
        HealthCheck,
        NotificationCount,
        QueuedJob,
        Readiness,
        ServiceLog,
        ServiceStatus,
        Versions,
    )
    from clusterm.schemas.tokens import Me, Token
    from clusterm.schemas.ui import UiLink

_NAMES = {
    "actions": "ActionInfo ActionList ActionStepInfo ActionVarInfo",
    "base": """
        Address Choices ExtraVars FittedName HostGroup Page Problem Request ResponseModel Seconds Timestamp
        check_address check_name
    """,
    "config": "ConfigRequest Globals GlobalsRequest",
    "events": "Changes Event",
    "jobs": """
        BusyNode CancelRequest DiscoverRequest DurationChange Failure GridTask Job JobDiff JobGrid JobProgress
        JobSummary JobTerms NodeSelection NodesRequest PlaybooksDiff Provenance Recap ResultChange RetryRequest
        StartRequest Step Task TaskResult ValueChange Wait
    """,
    "logs": "LogEnd LogLine LogMatches",
    "monitoring": "MonitorAnswer MonitoredNode MonitorEvent MonitorRequest RejectedNode",
    "nodes": """
        ConfigurationState Explanation HostKey HostKeysRequest HostVars ImportAnswer ImportedNode
        ImportOutcome ImportRequest InventoryState KnownHostKeys MonitoringState Node NodeCount
        NodeHistory NodeStates
        RemoveRequest RenameRequest SetRequest SuggestedCommand check_host_vars host_var_problems
    """,
    "plans": "Objection Plan PlannedStep",
    "service": """
        BackgroundTaskStatus Drain Health HealthCheck NotificationCount QueuedJob Readiness ServiceLog
        ServiceStatus Versions
    """,
    "tokens": "Me Token",
    "ui": "UiLink",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

if not TYPE_CHECKING:  # else every name would seem to exist

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


__all__ = [
    "ActionInfo",
    "ActionList",
    "ActionStepInfo",
    "ActionVarInfo",
    "Address",
    "BackgroundTaskStatus",
    "BusyNode",
    "CancelRequest",
    "Changes",
    "Choices",
    "ConfigRequest",
    "ConfigurationState",
    "DiscoverRequest",
    "Drain",
    "DurationChange",
    "Event",
    "Explanation",
    "ExtraVars",
    "Failure",
    "FittedName",
    "Globals",
    "GlobalsRequest",
    "GridTask",
    "Health",
    "HealthCheck",
    "HostGroup",
    "HostKey",
    "HostKeysRequest",
    "HostVars",
    "ImportAnswer",
    "ImportOutcome",
    "ImportRequest",
    "ImportedNode",
    "InventoryState",
    "Job",
    "JobDiff",
    "JobGrid",
    "JobProgress",
    "JobSummary",
    "JobTerms",
    "KnownHostKeys",
    "LogEnd",
    "LogLine",
    "LogMatches",
    "Me",
    "MonitorAnswer",
    "MonitorEvent",
    "MonitorRequest",
    "MonitoredNode",
    "MonitoringState",
    "Node",
    "NodeCount",
    "NodeHistory",
    "NodeSelection",
    "NodeStates",
    "NodesRequest",
    "NotificationCount",
    "Objection",
    "Page",
    "Plan",
    "PlannedStep",
    "PlaybooksDiff",
    "Problem",
    "Provenance",
    "QueuedJob",
    "Readiness",
    "Recap",
    "RejectedNode",
    "RemoveRequest",
    "RenameRequest",
    "Request",
    "ResponseModel",
    "ResultChange",
    "RetryRequest",
    "Seconds",
    "ServiceLog",
    "ServiceStatus",
    "SetRequest",
    "StartRequest",
    "Step",
    "SuggestedCommand",
    "Task",
    "TaskResult",
    "Timestamp",
    "Token",
    "UiLink",
    "ValueChange",
    "Versions",
    "Wait",
    "check_address",
    "check_host_vars",
    "check_name",
    "format_time",
    "host_var_problems",
]
